"""`feed show`: show the fate of reports at each destination, and sent messages with attempts, answers and changes.

HL7 v2.5.1 §2.15.8 (MSA), §2.15.5 (ERR); decisions D39, D49. The output holds patient data. Each use is therefore
recorded in the audit, by ids only, before anything is shown. The search text is never logged.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.fate import FatePlace, ReportFate, fates, places
from gateway.feed.operator.arguments import Say, Shows, counted, id_of, unnoted, wrong
from gateway.feed.operator.order_of_study import match_line, match_said
from gateway.feed.operator.shown import lines
from gateway.ingest.assembly import store_for_command
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, instant_text, micros
from gateway.store.database.operator_acts import noted
from gateway.store.feed.destinations import known_as
from gateway.store.feed.leases import standing
from gateway.store.feed.ledger import (
    ShownMessage,
    messages_of_study,
    patients_of_number,
    studies_of_accession,
    studies_of_patient,
    study_of_message,
    study_of_report,
)
from gateway.store.feed.messages import KeptAttempt, attempts_of
from gateway.store.feed.outbox import held_rows_of
from gateway.store.orders.matches import StoredMatch, matches_of
from gateway.store.studies.identities import with_replaced
from mappings.patient.identifiers import fhir_id

By = Literal["MSH-10", "report", "study", "accession", "patient"]
_VERB: Final = "feed-show"
_REPORT: Final = "rep_"
_STUDY: Final = "stu_"


@dataclass(frozen=True, slots=True)
class WantedMessages:
    """Search for messages: by MSH-10, report, study or accession number (`text`), or by patient numbers (`patients`).

    `at` limits it to one destination. `reason` is kept in the audit.
    """

    text: str = field(default="", repr=False)
    patients: tuple[str, ...] = field(default=(), repr=False)
    at: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """Messages found, and the kind of key that found them; `lanes` are all messages of their studies.

    `fates` are those of the reports that were asked for, or of all reports in these messages.
    """

    by: By
    messages: Sequence[ShownMessage]
    lanes: Sequence[ShownMessage]
    fates: Sequence[ReportFate] = ()

    @property
    def study_ids(self) -> list[str]:
        """Ids of the studies shown."""
        return list(dict.fromkeys([*(one.study_id for one in self.messages), *(one.study_id for one in self.fates)]))


async def show(
    configuration: Configuration, wanted: WantedMessages, say: Say, *, as_json: bool = False, shows: Shows = unnoted
) -> int:
    """Show fates and messages with their attempts; return 1 if there are none.

    `shows` gets what will be shown, before it is.

    Raises:
        ConfigError: there never was a destination of that name.
        StoreUnavailable: the store cannot be reached; nothing is shown, since the audit could not be written.
    """
    async with store_for_command(configuration, writes=False) as engine:
        for known in routes_of(configuration).destinations:
            if known.name == wanted.at:
                wanted = replace(wanted, at=await known_as(engine, known.name, known.formerly))
        matches = await _found(engine, wanted, await _destinations(configuration, engine, wanted.at))
        known_places = await places(engine, routes_of(configuration).destinations)
        matches = await _with_fates(engine, wanted, matches, known_places)
        await engine.do(partial(_noted, matches, wanted, micros(clock.now())))
        shows(*_shown(matches))
        study_ids = matches.study_ids
        answered = await matches_of(engine, study_ids)
        held = {one: await held_rows_of(engine, one) for one in study_ids}
        shown = [
            _said(one, matches.lanes, await attempts_of(engine, one.number))
            | _order(answered.get(one.study_id))
            | _held(one.destination, held[one.study_id])
            for one in matches.messages
        ]
    if as_json:
        say(json.dumps({"fates": [one.said for one in matches.fates], "messages": shown}, indent=2))
    else:
        for one in matches.fates:
            say(f"{one.report_id} at {one.place.label}: {one.fate}")
        for message in shown:
            for line in lines(message):
                say(line)
        say(counted(len(shown), "message"))
    return 0 if shown or matches.fates else 1


async def _destinations(configuration: Configuration, engine: Engine, at: str | None) -> list[str]:
    """Return the names of all destinations, including former ones; or only `at`, if given.

    Raises:
        ConfigError: there never was a destination named `at`.
    """
    known = [one.name for one in routes_of(configuration).destinations]
    names = list(dict.fromkeys([*known, *(one.name for one in await standing(engine))]))
    if at is not None and at not in names:
        raise wrong(at, "no destination has this name", f"Destinations are {', '.join(names) or 'none'}.")
    return names if at is None else [at]


async def _found(engine: Engine, wanted: WantedMessages, names: Sequence[str]) -> _Found:
    """Find the wanted messages, and the lanes that they belong to."""
    by, study_ids, patients = await _studies(engine, wanted, names)
    lanes = [one for study_id in study_ids for one in await messages_of_study(engine, study_id)]
    lanes = [one for one in lanes if wanted.at in {None, one.destination}]
    text = id_of(wanted.text)
    meant: dict[str, Callable[[ShownMessage], bool]] = {
        "MSH-10": lambda one: one.control_id == wanted.text,
        "report": lambda one: text in {one.report_id, *one.report_ids},
        "patient": lambda one: one.patient_id in patients,
    }
    return _Found(by, [one for one in lanes if by not in meant or meant[by](one)], lanes)


async def _with_fates(engine: Engine, wanted: WantedMessages, found: _Found, known: Sequence[FatePlace]) -> _Found:
    """Add the fates of the reports that were asked for, or that are in the messages found."""
    text = id_of(wanted.text)
    study_ids = {one.study_id for one in found.messages}
    about = {report_id for one in found.messages for report_id in (one.report_id, *one.report_ids)}
    if found.by == "report":
        study_ids, about = set(await study_of_report(engine, text)), {text}
    elif found.by in {"study", "accession"}:
        study_ids |= set((await _studies(engine, wanted, ()))[1])
    every = [one for one in await fates(engine, study_ids, known) if wanted.at in {None, one.place.name}]
    if found.by not in {"study", "accession"}:
        every = [one for one in every if one.report_id in about]
    return replace(found, fates=every)


async def _studies(engine: Engine, wanted: WantedMessages, names: Sequence[str]) -> tuple[By, list[str], set[str]]:
    """Return the kind of key, the ids of the studies found, and the ids of the patients if searched by number."""
    if wanted.patients:
        numbered = [one for number in wanted.patients for one in await patients_of_number(engine, number)]
        patients = await with_replaced(engine, numbered)
        studies = [one for patient_id in patients for one in await studies_of_patient(engine, patient_id)]
        return "patient", list(dict.fromkeys(studies)), set(patients)
    text = id_of(wanted.text)
    if text.startswith(_REPORT):
        return "report", await study_of_report(engine, text), set()
    if text.startswith(_STUDY):
        return "study", [text], set()
    by_message = [one for name in names for one in await study_of_message(engine, name, wanted.text)]
    if by_message:
        return "MSH-10", list(dict.fromkeys(by_message)), set()
    return "accession", await studies_of_accession(engine, wanted.text), set()


def _shown(found: _Found) -> tuple[list[str], list[str]]:
    """Return the addresses of the reports shown, and the patients of the messages."""
    about = [one for message in found.messages for one in message.report_ids] + [one.report_id for one in found.fates]
    reports = [f"DiagnosticReport/{fhir_id(one)}" for one in about]
    patients = [message.patient_id for message in found.messages if message.patient_id]
    return list(dict.fromkeys(reports)), list(dict.fromkeys(patients))


def _noted(found: _Found, wanted: WantedMessages, now: int) -> Steps[None]:
    """Record each shown study in the audit; accession and patient numbers are not recorded."""
    for study_id in found.study_ids or ["nothing"]:
        argument = " ".join([f"{study_id} by {found.by}", *([f"at {wanted.at}"] if wanted.at else [])])
        yield from noted(_VERB, argument, wanted.reason, now)


def _said(message: ShownMessage, lanes: Sequence[ShownMessage], attempts: Sequence[KeptAttempt]) -> dict[str, Any]:
    before, superseded = _replaced(message, lanes)
    return {
        "destination": message.destination,
        "controlId": message.control_id,
        "studyId": message.study_id,
        "reportId": message.report_id,
        "reportIds": list(message.report_ids),
        "patientId": message.patient_id,
        "fillerOrderNumbers": list(message.filler_order_numbers),
        "cause": message.kind,
        "state": message.state,
        "reason": message.reason,
        "ack": message.ack,
        **{name: _instant(getattr(message, name)) for name in ("made", "sent", "committed", "accepted", "closed")},
        "size": message.size,
        "sha256": message.body_hash,
        "replaced": None if before is None else _difference(before, message),
        "inPlaceOf": superseded,
        "supersededBy": next((m.control_id for m in lanes if m.number == message.superseded_by), None),
        "attempts": [_attempt(kept) for kept in attempts],
        "message": None
        if message.body is None
        else {"bytes": _bytes(message.body), "segments": HL7V2.printed(message.body)},
    }


def _order(match: StoredMatch | None) -> dict[str, Any]:
    """Return how the study was matched with orders; nothing where no hospital sends orders."""
    return {} if match is None else {"order": {**match_said(match), "line": match_line(match)}}


def _held(name: str, rows: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return why later messages of a study are not composed for a destination; nothing if none is held."""
    reasons = [reason for destination, reason in rows if destination == name]
    return {"held": reasons} if reasons else {}


def _replaced(message: ShownMessage, lanes: Sequence[ShownMessage]) -> tuple[ShownMessage | None, list[str]]:
    """Return the previous message sent under one of its numbers, and the control ids of the messages it superseded."""
    before = [
        other
        for other in lanes
        if (other.destination, other.sent is not None) == (message.destination, True)
        and other.number < message.number
        and not set(other.filler_order_numbers).isdisjoint(message.filler_order_numbers)
    ]
    superseded = [other.control_id for other in lanes if other.superseded_by == message.number]
    return next(reversed(before), None), superseded


def _difference(before: ShownMessage, message: ShownMessage) -> dict[str, Any]:
    """Compare a message with the one before; `changed` is None if either text is gone."""
    changed = None
    if before.body is not None and message.body is not None:
        changes = HL7V2.differences(before.body, message.body)
        changed = [{"place": place, "was": was, "now": now} for place, was, now in changes]
    return {"controlId": before.control_id, "sent": _instant(before.sent), "changed": changed}


def _attempt(kept: KeptAttempt) -> dict[str, Any]:
    attempt = kept.attempt
    connection: Mapping[str, Any] = json.loads(attempt.connection or "{}")
    return {
        "attempt": kept.place,
        "begun": _instant(attempt.begun),
        "ended": _instant(attempt.ended),
        "connection": connection,
        "state": kept.state,
        "reason": kept.reason,
        "ack": kept.ack,
        "answer": _answer(attempt.answer) if attempt.answer else None,
    }


def _answer(answer: bytes) -> dict[str, Any]:
    """Return the answer as received, with its parsed content if it is an acknowledgement."""
    return {"bytes": _bytes(answer), "segments": HL7V2.printed(answer), **HL7V2.printed_answer(answer)}


def _bytes(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _instant(microseconds: int | None) -> str | None:
    return None if microseconds is None else instant_text(microseconds)
