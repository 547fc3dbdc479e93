"""Note each access to the facade before the first byte of its answer; without a note there is no answer.

https://profiles.ihe.net/ITI/BALP/; decision D42. One place for all interactions, entries of a batch included: handlers
only say what they show.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final, cast

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.audit.audit_entry import EntryKind
from gateway.fhir_api.audit.shown import SHOWN, Shown
from gateway.fhir_api.audit.trail import AuditTrail
from gateway.fhir_api.http.outcome import REQUEST_ID, error_response, of_error
from gateway.fhir_api.http.query import Parameters, parameters
from gateway.fhir_api.served import DEFINITIONS, OPERATIONS
from gateway.index.parameters import TYPES
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.metrics import ROUTE
from gateway.runtime.request_errors import BadRequest, RequestError

# First steps of paths that show nothing of a patient
_PLAIN: Final = frozenset({"metadata", *(row.resource_type for row in DEFINITIONS)})
# Steps of the path of a history that is not one of an instance -> its kind
_HISTORIES: Final[Mapping[int, EntryKind]] = {2: "history-system", 3: "history-type"}
_CHANGING: Final = tuple(f"/${one.name}" for one in OPERATIONS if one.affects_state)


class Audited:
    """ASGI middleware: notes what an answer shows before it begins; raises if it cannot be noted.

    `app.state.audit` is an `AuditTrail`, or None for no audit.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on.

        Raises:
            AuditUnavailable: the journal takes no entry; the client gets nothing else.
        """
        trail = trail_of(scope)
        if trail is None:
            await self.app(scope, receive, send)
            return
        if scope["path"].endswith(_CHANGING):
            trail.require_open()
        scope[SHOWN] = shown = Shown()
        scope[REQUEST_ID] = secrets.token_hex(8)
        is_noted = False

        async def watch(message: Message) -> None:
            nonlocal is_noted
            if not is_noted:
                is_noted = True
                _note(trail, scope, shown, message["status"], "")
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except AuditUnavailable:
            raise
        except Exception as error:
            if not is_noted:
                status, issue = of_error(error)
                _note(trail, scope, shown, status, issue.detail)
            raise


def trail_of(scope: Scope) -> AuditTrail | None:
    """Return the audit of the application that a request came to, None if there is none."""
    return cast("AuditTrail | None", getattr(scope["app"].state, "audit", None))


def refusal(error: Exception, scope: Scope, request_id: str) -> ASGIApp:
    """Note that the bearer gate refuses a request, and return the answer."""
    trail = trail_of(scope)
    if trail is not None and isinstance(error, RequestError):
        try:
            trail.refusal(scope, error.http_status, error.code, request_id)
        except AuditUnavailable as unavailable:
            error = unavailable
    return error_response(error, scope, request_id)


def _note(trail: AuditTrail, scope: Scope, shown: Shown, status: int, code: str) -> None:
    kind = _kind_of(scope.get(ROUTE, ""))
    if kind is None:
        return
    if status == HTTPStatus.FORBIDDEN:
        trail.refusal(scope, status, code, scope[REQUEST_ID])
    else:
        shown.given = (*_query(scope), *shown.given)
        trail.access(scope, kind, status, code, shown)


def _query(scope: Scope) -> Parameters:
    """Return the parameters of the query; as one nameless value if they are malformed."""
    if not scope["query_string"]:
        return ()
    try:
        return parameters(Request(scope))
    except BadRequest:
        return (("", scope["query_string"].decode("latin-1")),)


@lru_cache(maxsize=512)
def _kind_of(template: str) -> EntryKind | None:
    """Return the kind of access to a route, None for one that shows nothing of a patient."""
    steps = template.split("/")
    if len(steps) < 2 or steps[1] in _PLAIN:
        return None
    last = steps[-1]
    if not steps[1] or last.startswith("$"):
        return "operation"
    if last == "_history":
        return _HISTORIES.get(len(steps), "history")
    if last in {steps[1], "_search", *TYPES}:
        return "search"
    if last == "{version}":
        return "vread"
    return "binary" if steps[1] == "Binary" else "read"
