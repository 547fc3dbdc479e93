"""HTTP routes of `/openapi.json` and `/docs`, the OpenAPI description for programs and for people.

https://spec.openapis.org/oas/v3.1.1.html#openapi-description-structure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway.fhir_api.facade import MOUNT, base
from gateway.fhir_api.openapi.document import document
from gateway.fhir_api.openapi.examples import examples
from gateway.fhir_api.openapi.page import HEADERS, page
from gateway.fhir_api.ops.routes import Ops
from gateway.runtime.metrics import ROUTE

Json = dict[str, Any]


def openapi_routes() -> list[Route]:
    """Build the two routes; `app.state` must have `facade` and `ops`."""
    return [Route(path, _handler(path, answer)) for path, answer in _ANSWERS.items()]


def _handler(path: str, answer: Callable[[Json], Response]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        request.scope[ROUTE] = path
        ops = cast(Ops, request.app.state.ops)
        return answer(document(_server(request), ops.version, await examples(request)))

    return handle


def _server(request: Request) -> str:
    """Return the server URL as clients see it: the FHIR base without `/fhir`, else from the request."""
    fhir_base = base(request)
    return (
        fhir_base.removesuffix(MOUNT) if fhir_base.endswith(MOUNT) else f"{request.url.scheme}://{request.url.netloc}"
    )


_ANSWERS: Final[dict[str, Callable[[Json], Response]]] = {
    "/openapi.json": JSONResponse,
    "/docs": lambda made: HTMLResponse(page(made), headers=HEADERS),
}
