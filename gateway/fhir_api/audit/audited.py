"""Record each access to the facade in the audit before the first byte of its answer; if that fails, answer 503.

https://profiles.ihe.net/ITI/BALP/; decision D42. One place for all interactions, entries of a batch included: handlers
only say what they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Scope

from gateway.audit.audit_entry import EntryKind
from gateway.fhir_api.audit.shown import SHOWN, Shown
from gateway.fhir_api.audit.trail import AuditTrail
from gateway.fhir_api.http.outcome import REQUEST_ID, error_response, issue_of_error, request_id
from gateway.fhir_api.http.query import Parameters, parameters
from gateway.fhir_api.served import DEFINITIONS, OPERATIONS
from gateway.index.parameter_lookup import TYPES
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.request_errors import BadRequest, RequestError

# First steps of paths that show nothing of a patient
_PLAIN: Final = frozenset({"metadata", *(row.resource_type for row in DEFINITIONS)})
# Steps of the path of a history that is not one of an instance -> its kind
_HISTORIES: Final[Mapping[int, EntryKind]] = {2: "history-system", 3: "history-type"}
_FORBIDDEN: Final = int(HTTPStatus.FORBIDDEN)  # a member of an enum takes longer than the rest of the comparison
_CHANGING: Final = tuple(f"/${one.name}" for one in OPERATIONS if one.affects_state)


class RouteAudit:
    """Audit wrapper of one route of the facade; `template` is the route's path.

    `app.state.audit` is an `AuditTrail`, or None for no audit. A route that shows nothing of a patient is not noted.
    """

    def __init__(self, template: str) -> None:
        self._type = template.split("/", 2)[1]
        self._kind, self._is_changing = _kind_of(template), template.endswith(_CHANGING)

    def begin(self, scope: Scope) -> AuditTrail | None:
        """Start collecting what the answer to a request shows; return what `note` needs, None if nothing is audited.

        Raises:
            AuditUnavailable: the journal takes no entry, and the request would change something.
        """
        trail = None if self._kind is None else trail_of(scope)
        if trail is not None:
            if self._is_changing:
                trail.require_open()
            scope[SHOWN], scope[REQUEST_ID] = Shown(), request_id()
        return trail

    def note(self, trail: AuditTrail, scope: Scope, status: int, code: str = "") -> None:
        """Write the audit entry of an answer before the answer is sent.

        Raises:
            AuditUnavailable: the journal takes no entry; the client gets nothing else.
        """
        if status == _FORBIDDEN or self._kind is None:
            trail.refusal(scope, status, code, scope[REQUEST_ID])
            return
        shown: Shown = scope[SHOWN]
        if scope["query_string"]:
            shown.given = (*_query(scope), *shown.given)
        if (resource_id := scope["path_params"].get("id")) is not None:
            shown.ask_for(self._type, resource_id)
        trail.access(scope, self._kind, status, code, shown)

    def note_failure(self, trail: AuditTrail, scope: Scope, error: Exception) -> None:
        """Write the audit entry of a request that failed, as `note` does."""
        status, issue = issue_of_error(error)
        self.note(trail, scope, status, issue.detail)


def trail_of(scope: Scope) -> AuditTrail | None:
    """Return the audit trail of the application that got the request, None if there is none."""
    trail: AuditTrail | None = getattr(scope["app"].state, "audit", None)
    return trail


def refusal(error: Exception, scope: Scope, request_id: str) -> ASGIApp:
    """Write the audit entry of a request that the bearer gate refuses, and return the answer."""
    trail = trail_of(scope)
    if trail is not None and isinstance(error, RequestError):
        try:
            trail.refusal(scope, error.http_status, error.code, request_id)
        except AuditUnavailable as unavailable:
            error = unavailable
    return error_response(error, scope, request_id)


def _query(scope: Scope) -> Parameters:
    """Return the parameters of the query; a malformed query counts as one nameless value."""
    try:
        return parameters(Request(scope))
    except BadRequest:
        return (("", scope["query_string"].decode("latin-1")),)


def _kind_of(template: str) -> EntryKind | None:
    """Return the kind of access on a route, None for a route that shows nothing of patients."""
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
