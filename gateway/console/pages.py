"""Table of the pages of the console: the path of each, who may see it, and for which purpose it is noted in the audit.

https://profiles.ihe.net/ITI/BALP/; decision D53. The service gets `PAGES` from the command line, since this
room stands above it.
Proved by tests/gateway/console/test_pages.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.auth.console_gate import Role, SignInPage
from gateway.console import lookup
from gateway.console.actions import ACTIONS
from gateway.console.certificates import Certificates
from gateway.console.frame import HOME, SCRIPT_PATH, ConsolePage, not_there, script, sign_in
from gateway.console.overview import FeedPages
from gateway.settings import Configuration

_POSTED: Final = ("GET", "POST")
_DELIVERY: Final = "check the delivery of a report"
_REPORT: Final = f"{HOME}report/{{report}}"


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of the console, for an application to serve; in a demo, a one-time word lets somebody in."""

    is_demo: bool = False

    def routes(self, configuration: Configuration) -> Sequence[BaseRoute]:
        """Return the routes of the pages."""
        feed, proofs = FeedPages(), Certificates()
        pages = (
            ConsolePage(HOME, Role.WATCHER, feed.overview),
            ConsolePage(f"{HOME}work", Role.WATCHER, feed.work),
            ConsolePage(f"{HOME}alerts", Role.WATCHER, feed.alerts),
            ConsolePage(f"{HOME}alerts/acknowledge", Role.OPERATOR, feed.acknowledge, ("POST",)),
            ConsolePage(f"{HOME}certificate", Role.WATCHER, proofs.page),
            ConsolePage(f"{HOME}certificate/run", Role.OPERATOR, proofs.begin, ("POST",)),
            ConsolePage(f"{HOME}certificate/{{at}}/csv", Role.READER, proofs.as_csv, purpose=_DELIVERY),
            ConsolePage(f"{HOME}find", Role.READER, lookup.find, _POSTED, "search", _DELIVERY),
            ConsolePage(_REPORT, Role.READER, lookup.report, purpose=_DELIVERY),
            ConsolePage(f"{_REPORT}/why", Role.READER, lookup.why, purpose="explain a value"),
            ConsolePage(f"{_REPORT}/pdf", Role.READER, lookup.pdf, purpose=_DELIVERY),
            ConsolePage(f"{HOME}message/{{control_id}}", Role.READER, lookup.message, purpose=_DELIVERY),
            ConsolePage(f"{HOME}access", Role.ADMIN, lookup.access, _POSTED, "search", "account for accesses"),
            ConsolePage(f"{HOME}access/sign-out", Role.ADMIN, lookup.sign_out, ("POST",)),
            *(one.page(feed.forget) for one in ACTIONS),
            ConsolePage(f"{HOME}{{path:path}}", Role.WATCHER, not_there),
        )
        return [Route(HOME[:-1], _home), Route(SCRIPT_PATH, script), *(one.route(configuration) for one in pages)]

    def sign_in(self, configuration: Configuration, request: Request, page: SignInPage) -> Response:
        """Render the page of the sign-in."""
        return sign_in(configuration, request, page)


async def _home(_: Request) -> Response:
    return RedirectResponse(HOME, 308)


PAGES: Final = Pages()
