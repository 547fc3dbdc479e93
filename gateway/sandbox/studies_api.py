"""Study and user endpoints of the AutoScribe look-alike: `/v1/autoScribe/studies…` and `/v1/autoScribe/users…`.

AutoScribe REST API: GET, POST /studies; GET, PATCH /studies/{studyId}; GET /studies/by-uid/{studyInstanceUid};
POST /studies/cancel, /uncancel; GET /users, /users/{userId}.
Proved by tests/gateway/sandbox/test_api.py and tests/gateway/sandbox/test_vendor_sdk.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.sandbox import views
from gateway.sandbox.answers import account, action, page
from gateway.sandbox.seed_study import instant, user_reference
from gateway.sandbox.state import SandboxAccount, refusal
from mappings.issues import WireError
from mappings.study import wire

Json = dict[str, Any]
Predicate = Callable[[Json, Any], bool]

_REQUIRED: Final = ("reportMetadata", "severity", "studyDescription", "studyInstanceUid")
_WRITABLE: Final = (
    *_REQUIRED, "clinicalHistory", "clinicalIndication", "externalPatientId", "metadata", "modality", "priorReports",
    "technologistNotes", "technologistTechnique",
)  # fmt: skip

# Query key -> predicate of matching studies; a value of None means that the key was sent empty
_STUDY_FILTERS: Final[dict[str, Predicate]] = {
    "assignedTo": lambda study, value: (study.get("assignedTo") or {}).get("userId") == value,
    "expressCustomerId": lambda study, value: (study.get("expressCustomer") or {}).get("expressCustomerId") == value,
    "isCancelled": lambda study, value: study["isCancelled"] is (value == "true"),
    "severity": lambda study, value: study["severity"] == value,
    "studyDescription": lambda study, value: value.lower() in study["studyDescription"].lower(),
    "studyReportStatus": lambda study, value: study["studyReportStatus"] in value.split(","),
    "studyType": lambda study, value: study.get("studyType", "standard") == value,
}
_USER_FILTERS: Final[dict[str, Predicate]] = {
    "canCreateReports": lambda user, value: user["canCreateReports"] is (value == "true"),
    "email": lambda user, value: user["email"] == value,
    "firstName": lambda user, value: value.lower() in user["firstName"].lower(),
    "lastName": lambda user, value: value.lower() in user["lastName"].lower(),
    "invitedSource": lambda user, value: user["invitedSource"] == value,
    "level": lambda user, value: user["level"] == value,
}
_NULLABLE_FILTERS: Final = frozenset({"assignedTo", "expressCustomerId"})
_FILTER_VALUES: Final[dict[str, frozenset[str]]] = {
    "isCancelled": frozenset({"true", "false"}),
    "canCreateReports": frozenset({"true", "false"}),
    "severity": wire.STUDY["severity"][0].codes,
    "studyReportStatus": wire.STUDY["studyReportStatus"][0].codes,
    "studyType": wire.STUDY["studyType"][0].codes,
    "invitedSource": wire.USER["invitedSource"][0].codes,
    "level": wire.USER["level"][0].codes,
}


async def list_studies(request: Request) -> Response:
    """`GET /studies`: return a page of the studies that match all filters."""
    state = account(request)
    filters = _filters(request, _STUDY_FILTERS)

    def wanted(study: Json) -> bool:
        if state.switches.key_scope == "self" and "createdByApiKey" not in study:
            return False
        return all(_STUDY_FILTERS[key](study, value) for key, value in filters)

    studies = state.listing(filters, wanted if filters or state.switches.key_scope == "self" else None)
    return page(request, "studies", studies, lambda study: views.study_view(study, state.switches))


async def read_study(request: Request) -> Response:
    """`GET /studies/{studyId}`: return a study by its id."""
    state = account(request)
    return JSONResponse(views.study_view(state.find_study(request.path_params["study_id"]), state.switches))


async def read_study_by_uid(request: Request) -> Response:
    """`GET /studies/by-uid/{studyInstanceUid}`: return a study by its UID."""
    state = account(request)
    return JSONResponse(views.study_view(state.find_study(uid=request.path_params["uid"]), state.switches))


async def create_study(request: Request) -> Response:
    """`POST /studies`: add a study; 422 if the body is not a study, 409 if its UID is known."""
    state = account(request)
    values = _study_values(state, await _body(request))
    if missing := [key for key in _REQUIRED if key not in values]:
        raise refusal(422, f"missing: {', '.join(missing)}")
    return JSONResponse(views.study_view(state.add_study(values), state.switches))


async def change_study(request: Request) -> Response:
    """`PATCH /studies/{studyId}`: change keys of a study; null clears a key."""
    state = account(request)
    study = state.find_study(request.path_params["study_id"])
    values = _study_values(state, await _body(request))
    return JSONResponse(views.study_view(state.change_study(study["studyId"], **values), state.switches))


async def cancel_study(request: Request) -> Response:
    """`POST /studies/cancel`: cancel a study."""
    study = await _selected(request)
    now = instant(account(request).now())
    return _change(request, study, isCancelled=True, cancelledAt=now)


async def uncancel_study(request: Request) -> Response:
    """`POST /studies/uncancel`: undo the cancellation of a study."""
    return _change(request, await _selected(request), isCancelled=False, cancelledAt=None)


async def list_users(request: Request) -> Response:
    """`GET /users`: return a page of the users that match all filters, without revoked users."""
    state = account(request)
    filters = _filters(request, _USER_FILTERS)
    active = [user for user_id, user in state.users.items() if user_id not in state.world.revoked]
    users = [user for user in active if all(_USER_FILTERS[key](user, value) for key, value in filters)]
    return page(request, "users", users, lambda user: user)


async def read_user(request: Request) -> Response:
    """`GET /users/{userId}`: return a user by its id."""
    state, user_id = account(request), request.path_params["user_id"]
    if user_id in state.world.revoked and state.switches.revoked_user == "404":
        raise refusal("404", "revoked user")
    if user_id not in state.users:
        raise refusal(state.switches.unknown_id, "unknown user")
    return JSONResponse(state.users[user_id])


ROUTES: Final = (
    Route("/v1/autoScribe/studies", list_studies),
    Route("/v1/autoScribe/studies", create_study, methods=["POST"]),
    Route("/v1/autoScribe/studies/cancel", cancel_study, methods=["POST"]),
    Route("/v1/autoScribe/studies/uncancel", uncancel_study, methods=["POST"]),
    Route("/v1/autoScribe/studies/by-uid/{uid}", read_study_by_uid),
    Route("/v1/autoScribe/studies/{study_id}", read_study),
    Route("/v1/autoScribe/studies/{study_id}", change_study, methods=["PATCH"]),
    Route("/v1/autoScribe/users", list_users),
    Route("/v1/autoScribe/users/{user_id}", read_user),
)


def _filters(request: Request, known: dict[str, Predicate]) -> tuple[tuple[str, str | None], ...]:
    filters: list[tuple[str, str | None]] = []
    for key in known:
        if key not in request.query_params:
            continue
        value = ",".join(request.query_params.getlist(key))
        if value:
            codes = _FILTER_VALUES.get(key)
            if codes and not codes.issuperset(value.split(",")):
                raise refusal(422, f"{key} has another value than it can have")
            filters.append((key, value))
        elif key in _NULLABLE_FILTERS and account(request).switches.null_filter != "ignored":
            if account(request).switches.null_filter == "refuse":
                raise refusal(422, f"{key} is empty")
            filters.append((key, None))
    return tuple(filters)


async def _body(request: Request) -> Json:
    try:
        body: Json = wire.loads(await request.body())
    except WireError:
        raise refusal(422, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise refusal(422, "the body is not an object")
    return body


def _study_values(state: SandboxAccount, body: Json) -> Json:
    values: Json = {key: body[key] for key in _WRITABLE if key in body}
    for key, value in values.items():
        kind, presence = wire.STUDY[key]
        try:
            wire.check({key: value}, {key: (kind, presence)})
        except WireError as error:
            raise refusal(422, f"{error.pointer}: expected {error.expected}") from None
    if body.get("assignedTo"):
        if body["assignedTo"] not in state.users:
            raise refusal(422, "assignedTo is no user")
        values["assignedTo"] = user_reference(state.users[body["assignedTo"]])
    return values


async def _selected(request: Request) -> Json:
    body = await _body(request)
    study_id, uid = body.get("studyId"), body.get("studyInstanceUid")
    if not study_id and not uid:
        raise refusal(account(request).switches.no_selector, "no selector")
    return account(request).find_study(study_id or None, uid)


def _change(request: Request, study: Json, **values: Any) -> Response:
    return action(request, lambda: account(request).change_study(study["studyId"], **values))
