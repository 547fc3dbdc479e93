"""Serve the audit: read one AuditEvent, or search them by date, patient, agent, entity, action, type and outcome.

https://hl7.org/fhir/R4/auditevent.html#search. Newest first. Events are rendered when read, from the loaded entries,
which are at most some seconds behind. An event has one version. Deliveries come from the ledger.
Proved by tests/gateway/fhir_api/audit/test_events.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.audit.audit_entry import parsed
from gateway.audit.audit_event import (
    EXPORT,
    KINDS,
    OUTCOMES,
    audit_event,
    delivery_event,
    event_id,
    instant_of,
    message_of,
)
from gateway.fhir_api.audit.audited import trail_of
from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import base, circumstances, facade, seal, unseal
from gateway.fhir_api.http.bundle import searchset
from gateway.fhir_api.http.headers import etag, fhir_answer, fhir_conditional, negotiated
from gateway.fhir_api.http.outcome import canonical_of
from gateway.fhir_api.http.query import COUNT, FORMATS, PAGE, Parameters, count_of, parameters, value_of
from gateway.index.escaping import alternatives, token
from gateway.index.intervals import interval
from gateway.runtime.computing import computed
from gateway.runtime.request_errors import BadRequest, NotSupported, ResourceNotFound
from gateway.store.audit_entries import AuditEntries, EntriesWanted, LoadedEntry
from gateway.store.feed.ledger import ShownMessage, message_numbered, messages_of_patient
from gateway.store.studies.search import Version
from mappings.fhir.datatypes import json_bytes
from mappings.patient.identifiers import fhir_id

AUDIT_EVENT: Final = "AuditEvent"
# Name -> type of R4's parameter, and its meaning here
SEARCHED: Final = {
    "_id": ("token", "One id."),
    "date": ("date", "When it was recorded: eq, ge, gt, le, lt."),
    "patient": ("reference", "A patient whose data the answer showed: Patient/<id>, or the id alone."),
    "entity": ("reference", "A resource that the answer showed: Type/<id>."),
    "agent": ("reference", "A client that asked, by its client id: agent:identifier."),
    "action": ("token", "R to read, E to execute: searches, operations, logins, refusals and commands."),
    "type": (
        "token",
        "rest, 110114 (logins), 110113 (refusals), 110100 (commands); 110106: deliveries, with a patient alone.",
    ),
    "subtype": ("token", "read, vread, history-instance, history-type, history-system, search, operation, 110122."),
    "outcome": ("token", "0: success, 4: refused or not found, 8: the gateway failed."),
}
_ADDRESS: Final = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}")
_PREFIXED: Final = re.compile(r"(eq|ge|gt|le|lt)?([0-9].*)")
_LARGE: Final = 64 * 1024  # bytes of entries: to render them takes some milliseconds
_FOREVER: Final = 2**62


async def audit_read(request: Request) -> Response:
    """Answer GET [base]/AuditEvent/[id]."""
    given, resource_id = parameters(request), request.path_params["id"]
    found = await _by_id(request, resource_id)
    if found is None:
        raise ResourceNotFound("there is no such AuditEvent, or it is not loaded yet")
    show(request.scope, (found,))
    return await fhir_conditional(request, given, found.body, etag(hashlib.sha256(found.body).hexdigest()[:32]))


async def audit_search(request: Request) -> Response:
    """Answer GET [base]/AuditEvent?…: a searchset, newest first, without a total."""
    given = parameters(request)
    negotiated(request, given)
    page, used = value_of(given, PAGE), tuple(pair for pair in given if pair[0] not in {PAGE, *FORMATS})
    wanted = EntriesWanted()
    if page is not None:
        _check_alone(PAGE, given, {COUNT, *FORMATS})
        state = unseal(request, page, AUDIT_EVENT)
        used, wanted = tuple((name, value) for name, value in state["q"]), replace(wanted, last=tuple(state["l"]))
    if (named := value_of(used, "_id")) is not None:
        _check_alone("_id", used, {COUNT})
        one = await _by_id(request, named)
        return await _answer(request, given, used, [] if one is None else [one], None)
    if EXPORT in _codes(value_of(used, "type") or ""):
        return await _answer(request, given, used, await _deliveries(request, used), None)
    count = count_of(used)
    found = await _entries(request).find(replace(_narrowed(request, wanted, used), most=count + 1))
    more = found[count - 1] if len(found) > count > 0 else None
    last = None if more is None else (more.at, more.segment, more.sequence)
    return await _answer(request, given, used, await _rendered(found[:count], canonical_of(request.scope)), last)


def _check_alone(name: str, given: Parameters, beside: Collection[str]) -> None:
    """Check that a parameter occurs once, and that only these others occur beside it.

    Raises:
        NotSupported: another would be left out, and the answer could be wider than asked for.
    """
    others = [other for other, _ in given if other not in beside]
    if others != [name]:
        raise NotSupported(f"{name} is asked for alone", expression=f"http.{name}")


async def _answer(
    request: Request, given: Parameters, used: Parameters, found: list[Version], last: tuple[int, str, int] | None
) -> Response:
    show(request.scope, found)
    here = f"{base(request)}/{AUDIT_EVENT}"
    links = {"self": f"{here}?{urlencode(used, safe=':/|,')}" if used else here}
    if last is not None:
        token = seal(request, {"q": used, "l": last}, AUDIT_EVENT)
        formats = [pair for pair in given if pair[0] in FORMATS]
        links["next"] = f"{here}?{urlencode([*formats, (PAGE, token)])}"
    canonical = canonical_of(request.scope)
    return await fhir_answer(
        request, given, searchset(base(request), links, found, (), (), total=None, canonical=canonical)
    )


def _entries(request: Request) -> AuditEntries:
    if trail_of(request.scope) is None:
        raise ResourceNotFound("this gateway keeps no audit: audit.dir is not set")
    return AuditEntries(facade(request).engine)


async def _deliveries(request: Request, used: Parameters) -> list[Version]:
    """Return the messages sent about a patient, from the ledger of the feed.

    Raises:
        NotSupported: they are asked for without a patient, or by anything else than a patient and dates.
    """
    if {name for name, _ in used} - {"type", "date", "patient"} or value_of(used, "patient") is None:
        problem = f"type {EXPORT} (deliveries) is searched with a patient, and with dates at most beside"
        raise NotSupported(problem, expression="http.type")
    _entries(request)
    wanted = _narrowed(request, EntriesWanted(), used)
    messages = await messages_of_patient(facade(request).engine, wanted.subjects[0].partition("/")[2])
    return [_delivery(one) for one in messages if wanted.since <= (one.sent or 0) < wanted.until]


def _delivery(message: ShownMessage) -> Version:
    event = delivery_event(message, [f"DiagnosticReport/{fhir_id(one)}" for one in message.report_ids])
    return Version(f"{AUDIT_EVENT}/{event['id']}", 1, message.sent or 0, json_bytes(event))


async def _by_id(request: Request, resource_id: str) -> Version | None:
    at, entries = instant_of(resource_id), _entries(request)
    if (number := message_of(resource_id)) is not None:
        message = await message_numbered(facade(request).engine, number)
        return None if message is None or message.sent is None else _delivery(message)
    if at is None:
        return None
    found = await entries.find(EntriesWanted(since=at, until=at + 1, most=1_000))
    versions = _versions(found, canonical_of(request.scope))
    return next((one for one in versions if one.address == f"{AUDIT_EVENT}/{resource_id}"), None)


async def _rendered(found: list[LoadedEntry], canonical: str) -> list[Version]:
    """Render audit entries as AuditEvents; large ones in a worker, so that the event loop goes on."""
    if sum(len(one.entry) for one in found) > _LARGE:
        return await computed(_versions, found, canonical)
    return _versions(found, canonical)


def _versions(found: list[LoadedEntry], canonical: str) -> list[Version]:
    return [_version(one, canonical) for one in found]


def _version(one: LoadedEntry, canonical: str) -> Version:
    resource_id = event_id(one.segment, one.sequence, one.at)
    event = audit_event(parsed(one.entry), resource_id, canonical)
    return Version(f"{AUDIT_EVENT}/{resource_id}", 1, one.at, json_bytes(event))


def _narrowed(request: Request, wanted: EntriesWanted, used: Parameters) -> EntriesWanted:
    """Narrow the criteria for audit entries by each parameter.

    Raises:
        NotSupported: a parameter is not known: to leave it out would show other events than asked for.
        BadRequest: a value is malformed.
    """
    for name, value in used:
        if name == COUNT:
            continue
        narrow = _NARROWING.get(name)
        if narrow is None:
            problem = f"not a parameter here; there are {', '.join(SEARCHED)}"
            raise NotSupported(problem, expression=f"http.{name.partition(':')[0]}")
        wanted = narrow(request, wanted, value)
    return wanted


def _by_date(request: Request, wanted: EntriesWanted, value: str) -> EntriesWanted:
    match = _PREFIXED.fullmatch(value)
    span = interval(match[2], circumstances(request).zone) if match else None
    if match is None or span is None:
        raise BadRequest("date: expected a date with eq, ge, gt, le or lt", expression="http.date")
    low, high = span
    bounds = {"ge": (low, _FOREVER), "gt": (high, _FOREVER), "le": (0, high), "lt": (0, low)}
    since, until = bounds.get(match[1] or "eq", span)
    return replace(wanted, since=max(wanted.since, since), until=min(wanted.until, until))


def _by_patient(_: Request, wanted: EntriesWanted, value: str) -> EntriesWanted:
    return _about("patient", wanted, value if "/" in value else f"Patient/{value}")


def _by_entity(_: Request, wanted: EntriesWanted, value: str) -> EntriesWanted:
    return _about("entity", wanted, value)


def _about(name: str, wanted: EntriesWanted, address: str) -> EntriesWanted:
    if not _ADDRESS.fullmatch(address) or (name == "patient" and not address.startswith("Patient/")):
        raise BadRequest(f"{name}: expected one reference", expression=f"http.{name}")
    if len(wanted.subjects) == 2:
        raise NotSupported("patient and entity: two of them at most", expression=f"http.{name}")
    return replace(wanted, subjects=(*wanted.subjects, address))


def _by_agent(_: Request, wanted: EntriesWanted, value: str) -> EntriesWanted:
    if wanted.client:
        raise NotSupported("agent:identifier: one of them at most", expression="http.agent")
    return replace(wanted, client=token(value)[1])


def _codes(value: str) -> set[str]:
    return {token(one)[1] for one in alternatives(value)}


def _by_kind(place: int) -> Callable[[Request, EntriesWanted, str], EntriesWanted]:
    def narrow(_: Request, wanted: EntriesWanted, value: str) -> EntriesWanted:
        codes = _codes(value)
        kinds = {kind: (row[0]["code"], row[1], row[3]) for kind, row in KINDS.items()}
        return replace(wanted, kinds=tuple(kind for kind in wanted.kinds if kinds[kind][place] in codes))

    return narrow


def _by_outcome(_: Request, wanted: EntriesWanted, value: str) -> EntriesWanted:
    code = token(value)[1]
    if code not in OUTCOMES:
        raise BadRequest(f"outcome: expected one of {', '.join(OUTCOMES)}", expression="http.outcome")
    least, below = OUTCOMES[code]
    return replace(wanted, least=max(wanted.least, least), below=min(wanted.below, below))


_NARROWING: Final[Mapping[str, Callable[[Request, EntriesWanted, Any], EntriesWanted]]] = {
    "date": _by_date,
    "patient": _by_patient,
    "entity": _by_entity,
    "agent:identifier": _by_agent,
    "type": _by_kind(0),
    "subtype": _by_kind(1),
    "action": _by_kind(2),
    "outcome": _by_outcome,
}
