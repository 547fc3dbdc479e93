"""Carry out `$addendum` and `$cancel-addendum` in AutoScribe, once per idempotency key, and read the result back.

https://hl7.org/fhir/R4/operations.html#executing, https://hl7.org/fhir/R4/http.html#Status-Codes.
AutoScribe has no idempotency: a POST that may have arrived is looked for in the study, never sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.facade import Facade, base, facade
from gateway.fhir_api.fetching import show_stored
from gateway.fhir_api.http.body import json_of, whole_body
from gateway.fhir_api.http.client import authenticated
from gateway.fhir_api.http.headers import fhir_answer, matches, negotiated
from gateway.fhir_api.http.outcome import Issue, outcome
from gateway.fhir_api.http.permission import sight_of, visible
from gateway.fhir_api.http.query import parameters
from gateway.fhir_api.operations.addendum_steps import ACTS, ADDENDUM, Act
from gateway.fhir_api.operations.idempotency import (
    HEADER,
    REFUSALS,
    Answered,
    KeyEntry,
    SentRequest,
    checked,
    entered,
    fingerprint,
)
from gateway.fhir_api.served import OF_REPORTS, Operation
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError, UpstreamAmbiguous, UpstreamNotFound
from gateway.runtime.request_errors import BadRequest, ResourceNotFound, VersionConflict
from gateway.store.studies.write_versions import CURRENT
from mappings.fhir.datatypes import json_bytes
from mappings.model import Study
from mappings.patient.identifiers import fhir_id, upstream_id

MAX_BODY_BYTES: Final = 65_536
_UNKNOWN: Final = "there is no such DiagnosticReport, or the gateway has not seen it yet"
# Seconds to wait before each try to read the outcome back
READ_BACK: Final = (0.0, 0.25, 0.5, 1.0, 2.0)


def operation(row: Operation, _: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of POST [base]/DiagnosticReport/[id]/$[name]."""
    act = ACTS[row.name]

    async def handle(request: Request) -> Response:
        given = parameters(request)
        negotiated(request, given)
        body = await _body_without_input(request)
        report_id = upstream_id(request.path_params["id"]) or ""
        if not report_id.startswith("rep_"):
            raise ResourceNotFound("no DiagnosticReport can have this id: it is rep-<32 hex>")
        key = checked(request.headers.get(HEADER), authenticated(request.scope))
        request_digest = fingerprint(act.name, report_id, *request.headers.getlist("if-match"), body=body)
        async with entered(facade(request).engine, key, request_digest) as claimed:
            is_repeat = isinstance(claimed, Answered)
            answered = claimed if isinstance(claimed, Answered) else await _carry_out(request, claimed, act, report_id)
        await show_stored(request, f"{OF_REPORTS}/{request.path_params['id']}")
        headers = {"Idempotency-Replayed": "true"} if is_repeat else {}
        if answered.location:
            headers["Location"] = f"{base(request)}/{answered.location}"
        made = json_bytes(dict(answered.resource))
        return await fhir_answer(request, given, made, answered.status, headers=headers)

    return handle


async def _carry_out(request: Request, entry: KeyEntry, act: Act, report_id: str) -> Answered:
    """Send the request unless an earlier attempt did, then read the outcome back."""
    sent = entry.sent or await _send(request, entry, act, report_id)
    answered = await _outcome(facade(request), sent, act)
    if answered.status != HTTPStatus.ACCEPTED:
        entry.answered = answered
    return answered


async def _send(request: Request, entry: KeyEntry, act: Act, report_id: str) -> SentRequest:
    """Read the study, refuse a request that cannot work, then POST.

    `entry.sent` is recorded before the POST, and cleared if AutoScribe certainly did nothing.
    """
    serving = facade(request)
    study = await _study(request, report_id)
    await show_stored(request, f"{OF_REPORTS}/{fhir_id(report_id)}")  # a refusal tells of the report, too
    report = next((one for one in study.reports if one.report_id == report_id), None)
    if report is None:
        raise ResourceNotFound("AutoScribe no longer lists this report")
    await _see_that_it_is_current(request, report_id)
    act.check(study, report)
    sent = SentRequest(study.study_id, frozenset(one.report_id for one in study.reports))
    await entry.send(sent)
    try:
        await act.send(serving.upstream, study, report)
    except UpstreamAmbiguous:
        return sent  # it may have been carried out: look for the outcome, never send again
    except REFUSALS as error:
        entry.sent, entry.refused = None, error
        raise
    except GatewayError:
        entry.sent = None
        raise
    entry.sent = replace(sent, is_sure=True)
    return entry.sent


async def _study(request: Request, report_id: str) -> Study:
    """Read a report's study from AutoScribe; a study that the client may not see counts as unknown.

    Raises:
        ResourceNotFound: for a client with limits: there is no such report, or it is not within them.
    """
    reads, address = facade(request).reads, f"{OF_REPORTS}/{fhir_id(report_id)}"
    limits = (await sight_of(request)).limits_of_report(OF_REPORTS, ADDENDUM)
    if not limits:
        return (await reads.report(report_id, fresh=True)).study
    is_seen = await visible(request, address, limits) is not None
    try:
        ingested = await reads.report(report_id, fresh=True, as_unknown=not is_seen)
    except (ResourceNotFound, UpstreamNotFound):
        raise ResourceNotFound(_UNKNOWN) from None
    if await visible(request, address, limits) is None:
        raise ResourceNotFound(_UNKNOWN)
    return ingested.study


async def _see_that_it_is_current(request: Request, report_id: str) -> None:
    """Check that If-Match, if present, names the current version of the report.

    Raises:
        VersionConflict: If-Match names another version.
    """
    if "if-match" not in request.headers:
        return
    rows = await facade(request).engine.fetch(CURRENT, address=f"{OF_REPORTS}/{fhir_id(report_id)}")
    if not any(matches(request, f'W/"{version}"', "if-match") for version, *_ in rows):
        raise VersionConflict("If-Match does not name the current version; nothing was sent")


async def _outcome(serving: Facade, sent: SentRequest, act: Act) -> Answered:
    """Read the outcome of a sent POST from the study; answer 202 if it is confirmed but does not show yet.

    Raises:
        UpstreamAmbiguous: the POST is not confirmed, and does not show.
    """
    is_sure = sent.is_sure
    for seconds in READ_BACK:
        if seconds:
            await clock.sleep(seconds)
        try:
            study = (await serving.reads.study(sent.study_id, fresh=True)).study
        except GatewayError:
            continue
        if (answered := act.find(study, sent)) is not None:
            return answered
        is_sure = is_sure or act.shows(study)
    if is_sure:
        return Answered(HTTPStatus.ACCEPTED, _incomplete(act, serving.site.canonical))
    detail = "read back: it does not show that it was carried out; ask again with a new key once you know"
    raise UpstreamAmbiguous(act.name, detail=detail)


def _incomplete(act: Act, canonical: str) -> dict[str, Any]:
    diagnostics = (
        f"{act.name} was carried out; AutoScribe does not show it yet. Repeat with the same {HEADER} to see it."
    )
    return outcome([Issue("information", "incomplete", diagnostics, "not-read-back")], canonical)


async def _body_without_input(request: Request) -> bytes:
    """Read the body of an operation without inputs: empty, or a Parameters resource without parameters.

    Raises:
        RequestTooLarge: the body is over the limit; reading stops there.
        UnsupportedMediaType: the body is of another media type.
        BadRequest: the body is something else.
    """
    body = await whole_body(request, MAX_BODY_BYTES)
    given = await json_of(request, body)
    if given is None:
        return body
    if not isinstance(given, dict) or given.get("resourceType") != "Parameters":
        raise BadRequest("the body: expected a Parameters resource, or none")
    if given.get("parameter"):
        raise BadRequest("the body: this operation takes no parameters", expression="Parameters.parameter")
    return body
