"""Turn errors into OperationOutcomes without request data; the error's class (gateway/runtime) sets status and code.

https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/http.html#Status-Codes.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.fhir_api.http.formats import Format, asked, in_format
from gateway.runtime.errors import GatewayError, StoreError, UpstreamError
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import ROUTE
from gateway.runtime.request_errors import NotAcceptable, RangeNotSatisfiable, RequestError
from mappings.codes import CANONICAL
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.extensions import code_system_url
from mappings.issues import MappingIssue, WireError

Severity = Literal["fatal", "error", "warning", "information"]

CONTENT_TYPE: Final = Format.JSON.value
ERRORS: Final = "error"  # ids of the gateway's own code systems
MAPPING_ISSUES: Final = "mapping-issue"
REQUEST_ID: Final = "gateway.request_id"  # scope key: the id of the request in the audit
ALLOW: Final = "gateway.allow"  # scope key: the methods the route has, for a 405
_RETRY_AFTER: Final = 5
_MANY: Final = 256
_NO_SUCH: Final = "There is nothing at this address; /fhir/metadata names the types that are served."
_BUG: Final = "The gateway failed. The request id names the line in its log."


_random: list[str] = []  # ids for the next requests


def request_id() -> str:
    """Return the id of a request: 16 hex digits that nobody can foresee."""
    if not _random:
        many = secrets.token_hex(8 * _MANY)  # the system is asked once for many
        _random.extend(many[at : at + 16] for at in range(0, len(many), 16))
    return _random.pop()


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue; `code` is of the issue-type value set, `detail` is a code of the gateway.

    `system` is the id of the gateway's own code system that has it. `about` is the address of a resource that the
    diagnostics name, for the audit.
    """

    severity: Severity
    code: str
    diagnostics: str
    detail: str = ""
    text: str = ""
    expression: str = ""
    system: str = ERRORS
    about: str = ""

    def json(self, canonical: str) -> dict[str, Any]:
        """Render as FHIR JSON; `canonical` is the base of the site's own definitions."""
        details: dict[str, Any] = {}
        if self.detail:
            details["coding"] = [{"system": code_system_url(canonical, self.system), "code": self.detail}]
        if self.text:
            details["text"] = self.text
        made: dict[str, Any] = {"severity": self.severity, "code": self.code}
        if details:
            made["details"] = details
        made["diagnostics"] = self.diagnostics
        if self.expression:
            made["expression"] = [self.expression]
        return made


def issue_of_mapping(issue: MappingIssue, whose: str) -> Issue:
    """Convert a mapping issue (D4); `whose` names the study or resource that its pointer lies in."""
    code = "informational" if issue.severity == "information" else "processing"
    return Issue(
        issue.severity, code, f"{whose} {issue.pointer or '/'}: {issue.action}", issue.code, system=MAPPING_ISSUES
    )


def outcome(issues: Iterable[Issue], canonical: str) -> dict[str, Any]:
    """Build an OperationOutcome; `canonical` is the base of the site's own definitions."""
    return {"resourceType": "OperationOutcome", "issue": [issue.json(canonical) for issue in issues]}


def canonical_of(scope: Scope) -> str:
    """Return the base of the site's own definitions, for the application that a request came to."""
    serving = getattr(getattr(scope.get("app"), "state", None), "facade", None)
    return str(serving.site.canonical) if serving is not None else CANONICAL


def issue_of_error(error: Exception) -> tuple[int, Issue]:
    """Return the HTTP status and issue of an exception; a foreign exception shows no detail of its own."""
    if isinstance(error, RequestError):
        return error.http_status, Issue(
            "error", error.issue_code, error.detail, error.code, error.remedy, error.expression
        )
    if isinstance(error, GatewayError):
        diagnostics = f"{error.code}: {error.words}" if isinstance(error, StoreError) else str(error)
        return error.http_status, Issue("error", error.issue_code, diagnostics, error.code, error.remedy)
    if isinstance(error, WireError):
        return HTTPStatus.BAD_GATEWAY, Issue("error", "processing", str(error), "upstream-not-understood")
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND:
        return error.status_code, Issue("error", "not-found", _NO_SUCH, "no-such-address")
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return error.status_code, Issue("error", "not-supported", HTTPStatus(error.status_code).phrase, "http")
    return HTTPStatus.INTERNAL_SERVER_ERROR, Issue("fatal", "exception", _BUG, "internal")


def error_response(error: Exception, scope: Scope, request_id: str) -> Response:
    """Build the answer to a failed request in the client's preferred format; `X-Request-Id` is the correlation id.

    A client that accepts no offered format gets JSON.
    """
    status, issue = issue_of_error(error)
    headers = {"X-Request-Id": request_id}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        wait = error.retry_after if isinstance(error, UpstreamError) else None
        headers["Retry-After"] = str(math.ceil(wait if wait is not None else _RETRY_AFTER))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(scope.get(ALLOW, ()))
    if isinstance(error, RequestError) and error.challenge:
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    form = Format.JSON if isinstance(error, NotAcceptable) else asked(scope)
    body = in_format(json_bytes(outcome([issue], canonical_of(scope))), form)
    headers["Content-Length"] = str(len(body))
    return Response(b"" if scope["method"] == "HEAD" else body, status, headers, media_type=form.value)


class Outcomes:
    """ASGI middleware: answers every exception with an OperationOutcome and logs one line."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; if it fails after its answer has begun, cut the answer off there."""
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            request_id = scope.get(REQUEST_ID) or secrets.token_hex(8)
            _log(error, scope, request_id)
            if not begun:
                await error_response(error, scope, request_id)(scope, receive, send)


def _log(error: Exception, scope: Scope, request_id: str) -> None:
    status, issue = issue_of_error(error)
    fields = {"route": scope.get(ROUTE, "none"), "method": scope["method"], "status": int(status), "code": issue.detail}
    if isinstance(error, UpstreamError) and error.request_id:
        fields["upstream_request_id"] = error.request_id
    logger = get_logger()
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("request-refused", request_id=request_id, **fields)
    else:
        known = isinstance(error, GatewayError | WireError)
        logger.error("request-failed", request_id=request_id, exc_info=None if known else error, **fields)
