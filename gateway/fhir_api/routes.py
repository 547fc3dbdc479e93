"""Routes of the FHIR API, built from the tables in `served.py`; other paths and methods get 404 or 405 with a reason.

https://hl7.org/fhir/R4/http.html#summary.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.fhir_api.audit.audited import RouteAudit
from gateway.fhir_api.audit.events import AUDIT_EVENT, audit_read, audit_search
from gateway.fhir_api.batch import batch
from gateway.fhir_api.binary import Streamed, binary
from gateway.fhir_api.capability import Metadata
from gateway.fhir_api.definitions.interactions import definition, definitions
from gateway.fhir_api.definitions.terminology import expand, lookup, validate_code
from gateway.fhir_api.facade import MOUNT
from gateway.fhir_api.history import history, history_of_system, history_of_type
from gateway.fhir_api.http.attended import Attended
from gateway.fhir_api.http.budget import REST, Budget
from gateway.fhir_api.http.outcome import ALLOW, Outcomes
from gateway.fhir_api.http.permission import Need, require
from gateway.fhir_api.operations.addendum_operations import operation
from gateway.fhir_api.operations.docref import docref
from gateway.fhir_api.operations.everything import everything
from gateway.fhir_api.operations.hl7v2 import hl7v2
from gateway.fhir_api.operations.trace import trace
from gateway.fhir_api.operations.validation import validate
from gateway.fhir_api.read import read, vread
from gateway.fhir_api.search.interaction import search, search_of_patient
from gateway.fhir_api.served import (
    DEFINITIONS,
    IN_COMPARTMENT,
    OF_DEFINITIONS,
    OF_REPORTS,
    OPERATIONS,
    RESOURCES,
    Operation,
    Served,
    offered_instead,
)
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.metrics import ROUTE
from gateway.runtime.request_errors import MethodNotAllowed, OperationNotOffered, ResourceNotFound

Handler = Callable[[Request], Awaitable[Response]]
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_NO_WRITES: Final = "resources are made in AutoScribe and cannot be written here"
_NO_CREATE: Final = (
    "reports are made in AutoScribe. To add to a signed report: POST DiagnosticReport/rep-…/$addendum, which opens an "
    "addendum for the radiologist"
)
_NO_SEARCH: Final = "a Binary is found by the reports and documents that refer to it, and is not searched"
_NO_AUDIT_WRITES: Final = "the audit is written by the gateway alone, and searched by GET"
_ONLY_POST: Final = "a search by form is POSTed"
_NO_BASE: Final = "at the base there are batches only: searches are of one type, and histories at /_history"
_OPERATIONS: Final[Mapping[str, Callable[[Operation, str], Handler]]] = {
    "addendum": operation,
    "cancel-addendum": operation,
    "docref": docref,
    "expand": expand,
    "everything": everything,
    "hl7v2": hl7v2,
    "lookup": lookup,
    "trace": trace,
    "validate": validate,
    "validate-code": validate_code,
}
_COSTLY: Final = frozenset({"everything", "trace", "validate"})


def fhir_app() -> ASGIApp:
    """Build the facade as an ASGI application for paths below its base; `app.state.facade` must be a `Facade`."""
    router = _BySteps()
    app, budget, searching = Outcomes(_AtBase(router)), Budget(REST), Budget()
    router.add(_route("/", {"POST": batch(app, budget)}, _NO_BASE))
    router.add(_route("/metadata", {"GET": Metadata()}, "the CapabilityStatement is only read"))
    router.add(_route("/_history", {"GET": searching.within(history_of_system)}, _NO_WRITES))
    for offered in OPERATIONS:
        router.add(*_operation_routes(offered, budget))
    for row in DEFINITIONS:
        find, show = definitions(row.resource_type), definition(row.resource_type)
        router.add(_route(f"/{row.resource_type}", {"GET": find}, _NO_WRITES))
        router.add(_route(f"/{row.resource_type}/{{id}}", {"GET": show}, _NO_WRITES))
    for row in RESOURCES:
        router.add(*_type_routes(row, searching))
    router.add(*_audit_routes(searching))
    return Attended(app)


def _operation_routes(row: Operation, budget: Budget) -> Iterator[Route]:
    """Build the routes of an operation; they must be added before routes with an id."""
    for resource_type, address in row.addresses():
        handler = _OPERATIONS[row.name](row, resource_type)
        if row.name in _COSTLY:
            handler = budget.within(handler)
        otherwise = f"asked for by {' or '.join(row.methods)}"
        needs = () if resource_type in OF_DEFINITIONS else row.needs or ((resource_type, "r"),)
        yield _route(address, dict.fromkeys(row.methods, handler), otherwise, needs)


def _audit_routes(searching: Budget) -> Iterator[Route]:
    """Build the routes of the audit, which needs a scope of its own."""
    yield _route(f"/{AUDIT_EVENT}", {"GET": searching.within(audit_search)}, _NO_AUDIT_WRITES, ((AUDIT_EVENT, "s"),))
    yield _route(f"/{AUDIT_EVENT}/{{id}}", {"GET": audit_read}, _NO_AUDIT_WRITES, ((AUDIT_EVENT, "r"),))


def _type_routes(row: Served, searching: Budget) -> list[Route]:
    """Build the routes of a resource type, at type level and instance level."""
    kind = row.resource_type
    instance, to_read = f"/{kind}/{{id}}", ((kind, "r"),)
    no_create = _NO_CREATE if kind == OF_REPORTS else _NO_WRITES
    if row.is_binary:
        return [_route(f"/{kind}", {}, _NO_SEARCH), _route(instance, {"GET": binary}, _NO_WRITES, to_read)]
    find, to_search = searching.within(search(kind)), ((kind, "s"),)
    of_patient, find_of_patient = f"/Patient/{{id}}/{kind}", searching.within(search_of_patient(kind))
    in_compartment = [_route(of_patient, {"GET": find_of_patient}, _NO_WRITES, to_search)]
    return [
        *(in_compartment if kind in IN_COMPARTMENT else ()),
        _route(f"/{kind}/_history", {"GET": searching.within(history_of_type(kind))}, _NO_WRITES, to_search),
        _route(f"/{kind}", {"GET": find}, no_create, to_search),
        _route(f"/{kind}/_search", {"POST": find}, _ONLY_POST, to_search),
        _route(instance, {"GET": read(kind)}, _NO_WRITES, to_read),
        _route(f"{instance}/_history", {"GET": history(kind)}, _NO_WRITES, to_read),
        _route(f"{instance}/_history/{{version}}", {"GET": vread(kind)}, _NO_WRITES, to_read),
    ]


def _route(template: str, handlers: Mapping[str, Handler], otherwise: str, needs: Sequence[Need] = ()) -> Route:
    """Build a Starlette route for every method; `otherwise` is the error text for a method without a handler.

    `needs` is what the scopes of the client must allow.
    """
    if "GET" in handlers:
        handlers = {**handlers, "HEAD": handlers["GET"]}
    return Route(template, _Endpoint(template, handlers, otherwise, needs))


class _AtBase:
    """ASGI middleware: strips the base from the path; the base is the same with and without a trailing slash."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["root_path"] = MOUNT
        if scope["path"] == MOUNT:
            scope["path"] = f"{MOUNT}/"
        await self._app(scope, receive, send)


class _BySteps:
    """ASGI router: tries only the routes whose path has the same first segment and the same number of segments.

    Operations are apart, so that the name of one that is not offered is not taken for an id. There are about a
    hundred routes, and each try takes time. The endpoint of a path without parameters, such as that of a search, is
    looked up.
    """

    def __init__(self) -> None:
        self._routers: dict[tuple[str, int, bool], Router] = {}
        self._endpoints: dict[str, ASGIApp] = {}

    def add(self, *routes: Route) -> None:
        """Add routes; of several that match a path, the first answers."""
        for one in routes:
            if "{" not in one.path:
                self._endpoints.setdefault(one.path, one.endpoint)
            else:
                router = Router(redirect_slashes=False, default=_nothing_there)
                self._routers.setdefault(_steps(one.path), router).routes.append(one)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope["root_path"])
        if (endpoint := self._endpoints.get(path)) is not None:
            scope["path_params"] = {}
            await endpoint(scope, receive, send)
            return
        await self._routers.get(_steps(path), _nothing_there)(scope, receive, send)


def _steps(path: str) -> tuple[str, int, bool]:
    """Return the first segment of a path, the number of segments, and True for the path of an operation."""
    return path.split("/", 2)[1], path.count("/"), "/$" in path


async def _nothing_there(scope: Scope, _: Receive, __: Send) -> None:
    """Refuse a request whose path no route has.

    Raises:
        OperationNotOffered: it is the path of an operation.
        HTTPException: it is any other path.
    """
    path = scope["path"].removeprefix(scope["root_path"])
    if "/$" not in path:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    kind, name = path.split("/", 2)[1], path.rpartition("/$")[2]
    raise OperationNotOffered(offered_instead(name, kind))


class _Endpoint:
    """ASGI endpoint: calls the handler for the request's method, and audits the access before the answer begins.

    Starlette gives a class all methods, a function only GET.
    """

    def __init__(self, template: str, handlers: Mapping[str, Handler], otherwise: str, needs: Sequence[Need]) -> None:
        self._template, self._handlers, self._otherwise, self._needs = template, handlers, otherwise, needs
        self._audit = RouteAudit(template)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._template
        trail = self._audit.begin(scope)
        try:
            response = await self._handler(scope)(Request(scope, receive, send))
        except Exception as error:
            if trail is not None:
                self._audit.note_failure(trail, scope, error)
            raise
        if trail is not None:
            try:
                self._audit.note(trail, scope, response.status_code)
            except AuditUnavailable:
                if isinstance(response, Streamed):
                    await response.abandon()
                raise
        await response(scope, receive, send)

    def _handler(self, scope: Scope) -> Handler:
        """Return the handler of a request.

        Raises:
            RequestError: the method, the scopes of the client or the id do not fit.
        """
        handler = self._handlers.get(scope["method"])
        if handler is None:
            scope[ALLOW] = tuple(self._handlers)
            raise MethodNotAllowed(self._otherwise)
        require(scope, self._needs)
        if not _ID.fullmatch(scope["path_params"].get("id", "-")):
            raise ResourceNotFound("no resource can have this id: letters, digits, `-` and `.`, 64 at most")
        return handler
