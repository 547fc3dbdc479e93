"""Page of the certificate: the last run for each destination, a new run with its progress, and its reports as CSV.

https://www.rfc-editor.org/rfc/rfc4180 (CSV); decisions D26, D49, D53. A run is the answer of `feed certificate`. This
process keeps the last one of each destination in memory: after a restart there is none.
Proved by tests/gateway/console/test_certificates.py.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from zoneinfo import ZoneInfo

from starlette.responses import RedirectResponse, Response

from gateway.console.frame import ConsoleVisit, address, day_of, gate_of, microseconds, not_there
from gateway.feed.operator.arguments import EVER, TimeSpan, at, destinations_named
from gateway.feed.operator.certificate import Certificate, ReportAccount, make_certificate
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import code_of, get_logger

_EVERY: Final = 2  # seconds between two renewals while a run goes on
_LONGEST: Final = 3_600.0  # seconds
_MOST_LISTED: Final = 200
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute a cell that begins so
_COLUMNS: Final = ("report", "study", "fate", "detail", "since", "open", "critical", "remarks", "order")
_KINDS: Final = {"certified": "good", "open": "bad", "incomplete": "wait"}


@dataclass(frozen=True, slots=True)
class CertificateRun:
    """Run that goes on: at which destination (empty: all), since when, and who began it."""

    at: str
    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class DestinationCertificate:
    """Last certificate of a destination, who had it made, and how long that took."""

    made: Certificate
    by: str
    took: timedelta

    @property
    def account(self) -> ReportAccount:
        """Account of the destination."""
        return self.made.accounts[0]

    @property
    def kind(self) -> str:
        """Shape of the verdict."""
        return _KINDS[self.made.verdict]


class Certificates:
    """Certificate page of one application, with the last run for each destination."""

    def __init__(self) -> None:
        self._last: dict[str, DestinationCertificate] = {}
        self._run: CertificateRun | None = None
        self._task: asyncio.Task[None] | None = None
        self._fault = ""

    async def page(self, visit: ConsoleVisit, fault: str = "") -> Response:
        """Answer with the last certificate of each destination, and the run that goes on."""
        names = [one.name for one in visit.serving.destinations if one.is_enabled]
        values = {"names": names, "last": self._last, "run": self._run, "fault": fault or self._fault}
        every, status = _EVERY if self._run else 0, HTTPStatus.BAD_REQUEST if fault else HTTPStatus.OK
        return visit.render(
            "certificate.html", {"here": "certificate", "every": every, "most": _MOST_LISTED, **values}, status
        )

    async def begin(self, visit: ConsoleVisit) -> Response:
        """Begin a run, unless one goes on, and show the page again."""
        form = await visit.form()
        name = form.get("at", "")
        if name and name not in {one.name for one in visit.serving.destinations if one.is_enabled}:
            return await not_there(visit)
        span = _span(form.get("since", ""), form.get("until", ""), visit.configuration.zone)
        if span is None:
            return await self.page(visit, "The last day is before the first.")
        if self._run is None:
            self._run, self._fault = CertificateRun(name, clock.now(), visit.person.subject), ""
            self._task = asyncio.ensure_future(self._made(visit, self._run, span))
        return RedirectResponse(address("certificate"), HTTPStatus.SEE_OTHER, gate_of(visit.request).headers())

    async def _made(self, visit: ConsoleVisit, run: CertificateRun, span: TimeSpan) -> None:
        """Make the certificate; a fault is told on the page."""
        try:
            async with asyncio.timeout(_LONGEST):
                asked = destinations_named(visit.configuration, run.at or None)
                made = await make_certificate(visit.configuration, visit.serving.engine, asked, span)
            took = clock.now() - run.since
            for account in made.accounts:
                own = replace(made, accounts=[account])
                self._last[account.place.label] = DestinationCertificate(own, run.by, took)
        except (GatewayError, TimeoutError) as error:
            self._fault = f"No certificate was made: {error or 'it took longer than an hour'}"
        except Exception as error:
            self._fault = f"No certificate was made. The log says why ({code_of(error)})."
            get_logger().error("certificate-failed", code=code_of(error), exc_info=error)
        finally:
            self._run = None

    async def as_csv(self, visit: ConsoleVisit) -> Response:
        """Answer with the reports of a destination's last certificate that are open or have remarks, as CSV."""
        name = visit.request.path_params["at"]
        if (last := self._last.get(name)) is None:
            return await not_there(visit)
        visit.shows([f"DiagnosticReport/{one.report_id.replace('_', '-')}" for one in last.account.reports], ())
        text = io.StringIO()
        csv.writer(text).writerows(_rows(last.account))
        day = f"{last.made.listing.started.astimezone(visit.configuration.zone):%Y-%m-%d}"
        named = {"Content-Disposition": f'attachment; filename="certificate-{name}-{day}.csv"'}
        return Response(text.getvalue(), headers={**gate_of(visit.request).headers(), **named}, media_type="text/csv")


def _rows(account: ReportAccount) -> Iterator[tuple[str, ...]]:
    """Yield the head and a row for each report."""
    yield _COLUMNS
    for one in account.reports:
        since = at(one.since) if one.since else ""
        marks = ("yes" if one.is_open else "no", "yes" if one.is_critical else "no", " ".join(one.remarks))
        order = f"{one.order.verdict} ({one.order.reason})" if one.order else ""
        row = (one.report_id, one.study_id, one.fate, one.detail, since, *marks, order)
        yield tuple(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row)


def _span(since: str, until: str, zone: ZoneInfo) -> TimeSpan | None:
    """Return the span of these days of the site, None if it is empty; a day that is none is no bound."""
    first, last = day_of(since, zone), day_of(until, zone)
    start = EVER.since if first is None else microseconds(first)
    end = EVER.until if last is None else microseconds(last + timedelta(days=1))
    return TimeSpan(start, end) if start < end else None
