"""The addresses of the facade, made from the table of what is served; anything else is a 404 or 405 that says more.

https://hl7.org/fhir/R4/http.html#summary.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import MethodNotAllowed
from gateway.fhir_api.binary import binary
from gateway.fhir_api.capability import capability
from gateway.fhir_api.operations import operation
from gateway.fhir_api.outcome import ALLOW, ROUTE, Outcomes
from gateway.fhir_api.read import read
from gateway.fhir_api.search import search
from gateway.fhir_api.search_params import OF_REPORTS
from gateway.fhir_api.served import OPERATIONS, RESOURCES, Served

Handler = Callable[[Request], Awaitable[Response]]
_NO_WRITES: Final = "resources are made in AutoScribe and cannot be written here"
_NO_CREATE: Final = (
    "reports are made in AutoScribe. To add to a signed report: POST DiagnosticReport/rep-…/$addendum, which opens an "
    "addendum for the radiologist"
)
_NO_SEARCH: Final = (
    "nothing is stored yet, so this type is not searched. Search DiagnosticReport?study=stu-… with "
    "_include=DiagnosticReport:subject or another of its includes"
)
_NO_HISTORY: Final = "only the current version is served: nothing is stored yet"


def fhir_app() -> ASGIApp:
    """The facade as an ASGI application, to be mounted at its base; `app.state.facade` must be a `Facade`."""
    routes = [_route("/metadata", {"GET": capability}, "the CapabilityStatement is only read")]
    for row in RESOURCES:
        routes += _of_type(row)
    for one in OPERATIONS:
        routes.append(_route(f"/{OF_REPORTS}/{{id}}/${one.name}", {"POST": operation(one)}, "operations are POSTed"))
    routes.append(_route("/{type}/{id}/_history", {}, _NO_HISTORY))
    routes.append(_route("/{type}/{id}/_history/{version}", {}, _NO_HISTORY))
    return Outcomes(Router(routes, redirect_slashes=False))


def _of_type(row: Served) -> list[Route]:
    """The type level and the instance level of a resource type."""
    is_searched = row.resource_type == OF_REPORTS
    handler = binary if row.source == "binary" else read(row)
    return [
        _route(
            f"/{row.resource_type}", {"GET": search} if is_searched else {}, _NO_CREATE if is_searched else _NO_SEARCH
        ),
        _route(f"/{row.resource_type}/{{id}}", {"GET": handler}, _NO_WRITES),
    ]


def _route(template: str, handlers: Mapping[str, Handler], otherwise: str) -> Route:
    """A Starlette route for every method; `otherwise` is what to say to one that has no handler."""
    if "GET" in handlers:
        handlers = {**handlers, "HEAD": handlers["GET"]}
    return Route(template, _Endpoint(template, handlers, otherwise))


class _Endpoint:
    """ASGI: the handler of a method. As a class it gets every method; a function would get GET alone."""

    def __init__(self, template: str, handlers: Mapping[str, Handler], otherwise: str) -> None:
        self._template, self._handlers, self._otherwise = template, handlers, otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE], scope[ALLOW] = self._template, tuple(self._handlers)
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise MethodNotAllowed(self._otherwise)
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
