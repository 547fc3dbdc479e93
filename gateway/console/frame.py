"""Frame of every page of the console: who may see it, its entry in the audit, its headers, and how values are written.

https://www.w3.org/TR/CSP3/, https://profiles.ihe.net/ITI/BALP/, https://www.w3.org/TR/WCAG22/; decisions D42, D53. A
page is a function from a visit to an answer. What it shows of patients is in the audit before the first byte leaves.
Proved by tests/gateway/console/test_pages.py.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qsl, quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.console_gate import ConsoleGate, ContentPolicy, Refused, Role, SignedIn, SignInPage, hash_source
from gateway.fhir_api.audit.audited import trail_of
from gateway.fhir_api.audit.shown import Shown
from gateway.fhir_api.audit.trail import ConsoleView
from gateway.fhir_api.facade import Facade, facade
from gateway.fhir_api.http.body import whole_body
from gateway.fhir_api.http.outcome import REQUEST_ID, request_id
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, GatewayError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import ROUTE
from gateway.runtime.request_errors import BadRequest
from gateway.settings import Configuration

HOME: Final = "/console/"
SCRIPT_PATH: Final = "/console/console.js"
_MOST_BYTES, _MOST_FIELDS = 16 * 1024, 20  # of a form
_YEARS: Final = range(1970, 3000)  # of a day in a form
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEMPLATES: Final = resources.files("gateway.console") / "templates"


@cache
def _file(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


@cache
def _integrity() -> str:
    """Return the digest of the script as a tag names it, so that the policy of the page can allow this text only."""
    return f"sha256-{base64.b64encode(hashlib.sha256(_file('console.js').encode()).digest()).decode()}"


def _policy(*, shows_pdf: bool = False) -> ContentPolicy:
    styles, scripts = (hash_source(_file("console.css")),), (f"'{_integrity()}'",)
    return ContentPolicy(styles, scripts, polls=True, images=True, shows_pdf=shows_pdf)


@dataclass(frozen=True, slots=True)
class ConsoleVisit:
    """Visit of a person to a page: the request, who it is, and what the answer has shown so far."""

    request: Request
    configuration: Configuration
    person: SignedIn
    shown: Shown = field(default_factory=Shown)

    @property
    def serving(self) -> Facade:
        """Parts of the loop that answers: its store, and the progress of the index."""
        return facade(self.request)

    def query(self, name: str) -> str:
        """Return a parameter of the address, empty if it is not given."""
        return self.request.query_params.get(name, "").strip()

    def shows(self, addresses: Collection[str], patients: Collection[str]) -> None:
        """Note what the page is about to show: the entry of the audit names it."""
        self.shown.addresses.update(dict.fromkeys(addresses))
        self.shown.patients.update(dict.fromkeys(patients))

    async def form(self) -> Mapping[str, str]:
        """Return the fields of a form that was posted.

        Raises:
            RequestTooLarge: it is too large.
            BadRequest: it has too many fields.
        """
        body = (await whole_body(self.request, _MOST_BYTES)).decode("utf-8", "replace")
        try:
            return dict(parse_qsl(body, max_num_fields=_MOST_FIELDS, errors="replace"))
        except ValueError:
            raise BadRequest(f"a form has at most {_MOST_FIELDS} fields") from None

    def render(self, template: str, values: Mapping[str, Any], status: int = HTTPStatus.OK) -> Response:
        """Render a page, or only its changing part if the script asks for it."""
        return rendered(self.request, self.configuration, template, {**values, "person": self.person}, status)


Answer = Callable[[ConsoleVisit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """Page of the console: its path, the least role, and the function that answers.

    With `purpose`, it shows data of patients: each visit is an entry of this kind in the audit.
    """

    path: str
    least: Role
    answer: Answer
    methods: tuple[str, ...] = ("GET",)
    kind: Literal["read", "search"] = "read"
    purpose: str = ""

    def route(self, configuration: Configuration) -> Route:
        """Return the route of the page."""

        async def handle(request: Request) -> Response:
            request.scope[ROUTE], request.scope[REQUEST_ID] = self.path, request_id()
            return await _visited(request, configuration, self)

        return Route(self.path, handle, methods=list(self.methods))


async def _visited(request: Request, configuration: Configuration, page: ConsolePage) -> Response:
    """Answer a visit to a page: first who it is, then the answer, then its entry in the audit."""
    gate = gate_of(request)
    try:
        visit = ConsoleVisit(request, configuration, await gate.admit(request, page.least))
    except Refused as refused:
        page_of_error = _error(request, configuration, refused.status, refused.message)
        return gate.to_sign_in(request, refused) or page_of_error
    except GatewayError as error:
        return _failed(request, configuration, error)
    try:
        with visit.person.acting():
            answer, code = await page.answer(visit), ""
    except Exception as error:
        answer, code = _failed(request, configuration, error, visit.person), code_of(error)
    trail = trail_of(request.scope) if page.purpose else None
    if trail is not None:
        try:
            seen = ConsoleView(page.kind, visit.person.subject, page.purpose, answer.status_code, code)
            trail.view(request.scope, seen, visit.shown)
        except GatewayError as error:
            return _failed(request, configuration, error, visit.person)
    return answer


def _failed(
    request: Request, configuration: Configuration, error: Exception, person: SignedIn | None = None
) -> Response:
    """Return the page of an error; an error that the gateway does not know shows nothing but the id of the request."""
    number = str(request.scope[REQUEST_ID])
    if isinstance(error, GatewayError):
        status = HTTPStatus.NOT_FOUND if isinstance(error, ConfigError) else error.http_status
        get_logger().warning("page-refused", code=error.code, status=int(status), request_id=number)
        return _error(request, configuration, status, f"{error}. {error.remedy}", person)
    get_logger().error("page-failed", code=code_of(error), request_id=number, exc_info=error)
    text = f"The console failed. The line of the log with the request id {number} says where."
    return _error(request, configuration, HTTPStatus.INTERNAL_SERVER_ERROR, text, person)


def _error(
    request: Request, configuration: Configuration, status: int, text: str, person: SignedIn | None = None
) -> Response:
    return rendered(request, configuration, "error.html", {"text": text, "status": status, "person": person}, status)


async def not_there(visit: ConsoleVisit) -> Response:
    """Answer at an address that has no page."""
    return _error(visit.request, visit.configuration, HTTPStatus.NOT_FOUND, "There is no such page.", visit.person)


def gate_of(request: Request) -> ConsoleGate:
    """Return the gate of the application that a request came to."""
    return cast(ConsoleGate, request.app.state.console_gate)


def sign_in(configuration: Configuration, request: Request, page: SignInPage) -> Response:
    """Render the page of the sign-in."""
    return rendered(request, configuration, "sign_in.html", {"page": page, "person": None}, page.status)


async def script(request: Request) -> Response:
    """Answer with the script of the pages, which holds nothing of anybody."""
    return Response(_file("console.js"), headers=dict(gate_of(request).headers()), media_type="text/javascript")


def rendered(
    request: Request, configuration: Configuration, template: str, values: Mapping[str, Any], status: int
) -> Response:
    """Render a template with the headers of the console; `shows_pdf` among the values lets the page frame one."""
    own = {"integrity": _integrity(), "style": Markup(_file("console.css"))}  # noqa: S704 (our own file)
    frame = "part.html" if request.query_params.get("part") else "layout.html"
    usual = {"here": "", "every": 0, "frame": frame, "Role": Role, "now": clock.now()}
    body = _templates(configuration.zone).get_template(template).render({**usual, **own, **values})
    headers = dict(gate_of(request).headers(_policy(shows_pdf=bool(values.get("shows_pdf")))))
    return Response(body, status, headers, media_type="text/html")


@cache
def _templates(zone: ZoneInfo) -> Environment:
    """Return the templates of a site, which write instants in its zone. All values are escaped."""
    made = Environment(
        loader=PackageLoader("gateway.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"when": lambda at: _when(at, zone), "age": age, "address": address}
    return made


def instant_of(at: datetime | int | str) -> datetime:
    """Return an instant that may be in microseconds since 1970, or written as FHIR does."""
    if isinstance(at, str):
        return datetime.fromisoformat(at)
    return _EPOCH + timedelta(microseconds=at) if isinstance(at, int) else at


def microseconds(moment: datetime) -> int:
    """Return an instant in microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def day_of(text: str, zone: ZoneInfo) -> datetime | None:
    """Return the begin of a day in the zone of the site, as a form has it; None if the text is none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime.combine(day, time(), zone) if day.year in _YEARS else None


def _when(at: datetime | int | str | None, zone: ZoneInfo) -> Markup | str:
    """Write an instant in the zone of the site, with UTC on hover; see `instant_of`."""
    if at is None:
        return "-"
    moment = instant_of(at)
    local, utc = moment.astimezone(zone), moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M:%S} UTC", f"{local:%Y-%m-%d %H:%M:%S}"
    )


def age(seconds: float | timedelta | None) -> str:
    """Write a duration in the largest unit of which there is at least one."""
    if seconds is None:
        return "-"
    whole = int(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def address(*steps: str) -> str:
    """Return the path of a page of the console; each step is quoted."""
    return HOME + "/".join(quote(one, safe="") for one in steps)
