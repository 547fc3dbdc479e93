"""`feed show`: show the fate of reports at each destination, and sent messages with attempts, answers and changes.

HL7 v2.5.1 §2.15.8 (MSA), §2.15.5 (ERR); decisions D39, D49. The output holds patient data. Each use is therefore
recorded in the audit, by ids only, before anything is shown. The search text is never logged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.fate import FatePlace, ReportFate, fates, places
from gateway.feed.operator.arguments import Shows, id_of, unnoted, wrong
from gateway.feed.operator.order_of_study import order_matches
from gateway.feed.operator.shown import (
    ChangedField,
    MessageHistory,
    ReplacedMessage,
    ShownAnswer,
    ShownAttempt,
    ShownMessages,
    ShownText,
)
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, instant, micros, moment
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
    engine: Engine, configuration: Configuration, wanted: WantedMessages, *, shows: Shows = unnoted
) -> ShownMessages:
    """Return fates and messages with their attempts; `shows` gets what will be shown, before it is read.

    Raises:
        ConfigError: there never was a destination of that name.
        StoreUnavailable: the store cannot be reached; nothing is returned, since the audit could not be written.
    """
    for known in routes_of(configuration).destinations:
        if known.name == wanted.at:
            wanted = replace(wanted, at=await known_as(engine, known.name, known.formerly))
    found = await _found(engine, wanted, await _destinations(configuration, engine, wanted.at))
    known_places = await places(engine, routes_of(configuration).destinations)
    found = await _with_fates(engine, wanted, found, known_places)
    await engine.do(partial(_noted, found, wanted, micros(clock.now())))
    shows(*_shown(found))
    answered = await order_matches(engine, found.study_ids)
    held = {one: await held_rows_of(engine, one) for one in found.study_ids}
    histories = [
        replace(
            _history(one, found.lanes, await attempts_of(engine, one.number)),
            order=answered.get(one.study_id),
            held=tuple(reason for name, reason in held[one.study_id] if name == one.destination) or None,
        )
        for one in found.messages
    ]
    return ShownMessages(tuple(found.fates), tuple(histories))


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


def _history(message: ShownMessage, lanes: Sequence[ShownMessage], attempts: Sequence[KeptAttempt]) -> MessageHistory:
    before, superseded = _replaced(message, lanes)
    return MessageHistory(
        destination=message.destination,
        control_id=message.control_id,
        study_id=message.study_id,
        report_id=message.report_id,
        report_ids=message.report_ids,
        patient_id=message.patient_id,
        filler_order_numbers=message.filler_order_numbers,
        cause=message.kind,
        state=message.state,
        reason=message.reason,
        ack=message.ack,
        made=instant(message.made),
        sent=moment(message.sent),
        committed=moment(message.committed),
        accepted=moment(message.accepted),
        closed=moment(message.closed),
        size=message.size,
        sha256=message.body_hash,
        replaced=None if before is None else _difference(before, message),
        in_place_of=superseded,
        superseded_by=next((m.control_id for m in lanes if m.number == message.superseded_by), None),
        attempts=tuple(map(_attempt, attempts)),
        message=None if message.body is None else _text(message.body),
    )


def _replaced(message: ShownMessage, lanes: Sequence[ShownMessage]) -> tuple[ShownMessage | None, tuple[str, ...]]:
    """Return the previous message sent under one of its numbers, and the control ids of the messages it superseded."""
    before = [
        other
        for other in lanes
        if (other.destination, other.sent is not None) == (message.destination, True)
        and other.number < message.number
        and not set(other.filler_order_numbers).isdisjoint(message.filler_order_numbers)
    ]
    superseded = tuple(other.control_id for other in lanes if other.superseded_by == message.number)
    return next(reversed(before), None), superseded


def _difference(before: ShownMessage, message: ShownMessage) -> ReplacedMessage:
    """Compare a message with the one before."""
    changed = None
    if before.body is not None and message.body is not None:
        changed = tuple(ChangedField(*one) for one in HL7V2.differences(before.body, message.body))
    return ReplacedMessage(before.control_id, moment(before.sent), changed)


def _attempt(kept: KeptAttempt) -> ShownAttempt:
    attempt = kept.attempt
    connection: Mapping[str, Any] = json.loads(attempt.connection or "{}")
    answer = ShownAnswer(_text(attempt.answer), HL7V2.printed_answer(attempt.answer)) if attempt.answer else None
    begun, ended = moment(attempt.begun), moment(attempt.ended)
    return ShownAttempt(kept.place, begun, ended, connection, kept.state, kept.reason, kept.ack, answer)


def _text(data: bytes) -> ShownText:
    return ShownText(data, tuple(HL7V2.printed(data)))
