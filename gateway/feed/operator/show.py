"""`feed show`: show the fate of reports at each destination, and sent messages with attempts, answers and changes.

HL7 v2.5.1 §2.15.8 (MSA), §2.15.5 (ERR); decisions D39, D49. The output holds patient data. Each use is therefore
recorded in the audit, by ids only, before anything is shown. The search text is never logged.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.fate import FatePlace, ReportFate, fates, places
from gateway.feed.operator.arguments import LEFT_OUT, CommandAnswer, Shows, at, counted, id_of, json_of, unnoted, wrong
from gateway.feed.payload import PrintedField
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, instant, micros, moment
from gateway.store.database.facts import noted
from gateway.store.feed.destinations import known_as
from gateway.store.feed.leases import lease_standings
from gateway.store.feed.ledger import (
    ShownMessage,
    messages_of_study,
    newest_messages,
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
from mappings.hospital.match import REASONS
from mappings.patient.identifiers import fhir_id


@dataclass(frozen=True, slots=True)
class OrderMatch:
    """Match of a study with its orders, in words; `reason` and `sentence` are None if orders are matched."""

    verdict: str
    reason: str | None
    sentence: str | None
    orders: tuple[int, ...]
    since: datetime

    def __str__(self) -> str:
        if self.reason:
            return f"{self.verdict} ({self.reason})" + (f": {self.sentence}" if self.sentence else "")
        return f"{self.verdict}: {', '.join(f'order {number}' for number in self.orders)}"


@dataclass(frozen=True, slots=True)
class HeldAt:
    """Destination at which a study's later messages are held, and the reason."""

    destination: str
    reason: str


def order_match(match: StoredMatch) -> OrderMatch:
    """Describe the match of a study, with the sentence for its reason."""
    sentence = REASONS[match.reason].sentence if match.reason in REASONS else None
    return OrderMatch(match.verdict, match.reason or None, sentence or None, tuple(match.orders), instant(match.since))


async def order_matches(engine: Engine, study_ids: Collection[str]) -> dict[str, OrderMatch]:
    """Return the described matches of these studies; empty where no hospital sends orders.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = await matches_of(engine, list(study_ids))
    return {study_id: order_match(one) for study_id, one in found.items()}


_LONG: Final = 400  # characters shown of a segment or a value: a PDF in Base64 is far longer
_PURGED: Final = "its text and attempts were deleted after feed.retention_days"
_NO_ANSWER: Final = "nothing came back"
_MOMENTS: Final = ("made", "sent", "committed", "accepted", "closed")


@dataclass(frozen=True, slots=True)
class ShownText:
    """Bytes of a message or an answer, and its segments in printable form."""

    data: bytes = field(repr=False, metadata={"key": "bytes"})
    segments: Sequence[str] = field(repr=False)

    @property
    def printed_fields(self) -> Sequence[PrintedField]:
        """The fields that have a value, by name and decoded; none if the bytes are no message."""
        return HL7V2.fields(self.data)


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """Answer of a receiver; `content` has MSA and ERR of an acknowledgement, or why it is `unreadable`."""

    text: ShownText
    content: Mapping[str, Any] = field(repr=False)

    @property
    def said(self) -> dict[str, Any]:
        """The answer as JSON."""
        return {**json_of(self.text), **self.content}


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    """Attempt to send a message; `connection` describes it, `answer` is None if nothing came back."""

    attempt: int
    begun: datetime | None
    ended: datetime | None
    connection: Mapping[str, Any]
    state: str
    reason: str
    ack: str
    answer: ShownAnswer | None


@dataclass(frozen=True, slots=True)
class ChangedField:
    """Field that differs between two messages."""

    place: str
    was: str = field(repr=False)
    now: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplacedMessage:
    """Message sent before under the same number; `changed` is None if either text was deleted."""

    control_id: str
    sent: datetime | None
    changed: tuple[ChangedField, ...] | None


@dataclass(frozen=True, slots=True)
class MessageHistory:
    """Message with its attempts, the message it replaced, and those it supersedes.

    `message` is None once its bytes were deleted. `order` is None where no hospital sends orders, and `held` where
    every later message of the study is composed.
    """

    destination: str
    control_id: str
    study_id: str
    report_id: str
    report_ids: tuple[str, ...]
    patient_id: str
    filler_order_numbers: tuple[str, ...]
    cause: str
    state: str
    reason: str
    ack: str
    made: datetime
    sent: datetime | None
    committed: datetime | None
    accepted: datetime | None
    closed: datetime | None
    size: int
    sha256: str
    replaced: ReplacedMessage | None
    in_place_of: tuple[str, ...]
    superseded_by: str | None
    attempts: tuple[ShownAttempt, ...]
    message: ShownText | None
    order: OrderMatch | None = field(default=None, metadata=LEFT_OUT)
    held: tuple[str, ...] | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, slots=True)
class ShownMessages(CommandAnswer):
    """Answer of `feed show`: the fates and messages found."""

    fates: tuple[ReportFate, ...]
    messages: tuple[MessageHistory, ...]

    @property
    def exit_code(self) -> int:
        """1 if nothing was found."""
        return 0 if self.messages or self.fates else 1

    @property
    def document(self) -> Any:
        """Fates and messages as JSON; an order also has its line."""
        messages = [json_of(one) for one in self.messages]
        for message, one in zip(messages, self.messages, strict=True):
            if one.order is not None:
                message["order"]["line"] = str(one.order)
        return {"fates": json_of(self.fates), "messages": messages}

    def lines(self) -> Iterator[str]:
        """Yield a line for each fate, the lines of each message, and their number."""
        for one in self.fates:
            yield f"{one.report_id} at {one.place.label}: {one.fate}"
        for message in self.messages:
            yield from message_lines(message)
        yield counted(len(self.messages), "message")


def message_lines(message: MessageHistory) -> Iterator[str]:
    """Yield the lines of one message."""
    yield f"{message.destination}  {message.control_id}  {_state(message)}"
    yield f"  of        {message.cause}, {message.report_id}, {message.study_id}, Patient/{message.patient_id}"
    yield f"  numbers   {', '.join(message.filler_order_numbers)} (OBR-3)"
    instants = [(name, getattr(message, name)) for name in _MOMENTS]
    yield f"  when      {', '.join(f'{name} {at(instant)}' for name, instant in instants if instant)}"
    yield f"  bytes     {message.size}, sha256 {message.sha256 or 'not known'}"
    if message.order is not None:
        yield f"  order     {message.order}"
    if message.held:
        yield f"  held      a later message, for {', '.join(message.held)}"
    yield from _others(message)
    for attempt in message.attempts:
        yield from _attempt_lines(attempt)
    if message.message is None:
        yield f"  message   {_PURGED}"
        return
    if not message.attempts:
        yield "  attempts  none is kept"
    yield "  message"
    for segment in message.message.segments:
        yield f"    {short(segment)}"


def short(text: str) -> str:
    """Shorten a text that is too long for a screen."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text) - _LONG} more characters: --json has them)"


def _state(message: MessageHistory) -> str:
    why = f" ({message.reason})" if message.reason else ""
    return f"{message.state}{why}{', ' + message.ack if message.ack else ''}"


def _others(message: MessageHistory) -> Iterator[str]:
    for control_id in message.in_place_of:
        yield f"  supersedes {control_id}, which was not sent"
    if message.superseded_by:
        yield f"  superseded by {message.superseded_by}"
    replaced = message.replaced
    if replaced is None:
        yield "  replaced  nothing: no message was sent before under one of its numbers"
        return
    yield f"  replaced  {replaced.control_id}, sent {json_of(replaced.sent)}"
    if replaced.changed is None:
        yield "    the difference is not known: a text was deleted after feed.retention_days"
        return
    for (place, was, now), count in Counter(map(_of_any, replaced.changed)).items():
        yield f"    {place}{f' of {count} segments' if count > 1 else ''}"
        yield f"      was  {short(was) or '(nothing)'}"
        yield f"      now  {short(now) or '(nothing)'}"
    if not replaced.changed:
        yield "    the same, but for MSH-7 and MSH-10"


def _of_any(changed: ChangedField) -> tuple[str, str, str]:
    """Return a change without its segment number, to count equal changes of several segments."""
    return re.sub(r"\[\d+\]", "", changed.place), changed.was, changed.now


def _attempt_lines(attempt: ShownAttempt) -> Iterator[str]:
    why = attempt.reason if attempt.reason not in {"", attempt.ack} else ""
    came = ", ".join(part for part in (attempt.state, why, attempt.ack) if part)
    begun = f"{at(attempt.begun)} to " if attempt.begun else ""
    yield f"  attempt {attempt.attempt}  {begun}{json_of(attempt.ended)}: {came}"
    yield f"    {connection(attempt.connection)}"
    if attempt.answer is None:
        yield f"    {_NO_ANSWER}"
        return
    for segment in attempt.answer.text.segments:
        yield f"    < {short(segment)}"
    content = attempt.answer.content
    if "unreadable" in content:
        yield f"    no acknowledgement: {content['unreadable']}"
    else:
        yield f"    {content['code']} for {content['controlId'] or 'no MSH-10'}{_quoted(content['text'])}"
    for error in content.get("errors", ()):
        place = f" at {error['location']}" if error["location"] else ""
        yield f"    error {error['code'] or 'without a code'}{place}{_quoted(error['text'])}"


def connection(described: Mapping[str, Any]) -> str:
    """Describe a connection in words."""
    parts = []
    if described.get("when") == "late":
        parts.append("came later")
    if "by" in described:
        parts.append("over a connection that the receiver opened")
    if "to" in described:
        parts.append(f"to {described['to']}")
    if "peer" in described:
        parts.append(f"with {described['peer']}")
    if "tls" in described:
        parts.append(str(described["tls"]))
    if "tls" in described and "sha256" in described:
        parts[-1] += f", certificate of {described['subject']}, sha256 {described['sha256']}"
    if "connection" in described:
        parts.append(f"connection {described['connection']} of {described['of']}")
    return ", ".join(parts) or "over a connection of which nothing is known"


def _quoted(text: str) -> str:
    return f": {short(text)}" if text else ""


By = Literal["MSH-10", "report", "study", "accession", "patient"]
_VERB: Final = "feed-show"
_REPORT: Final = "rep_"
_STUDY: Final = "stu_"


@dataclass(frozen=True, slots=True)
class WantedMessages:
    """Search for messages: by MSH-10, report, study or accession number (`text`), or by patient numbers (`patients`).

    `at` limits it to one destination, `most` to so many studies. `reason` is kept in the audit.
    """

    text: str = field(default="", repr=False)
    patients: tuple[str, ...] = field(default=(), repr=False)
    at: str | None = None
    reason: str = ""
    most: int | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """Messages found, and by what kind of key; `lanes` are all messages of their studies.

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
    """Return fates and messages with attempts; `shows` is called with what will be shown, before it is read.

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


async def newest(engine: Engine, most: int, *, shows: Shows = unnoted) -> tuple[MessageHistory, ...]:
    """Return the messages that were made last, without bytes and attempts; `shows` gets what will be shown.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    messages = await newest_messages(engine, most)
    shows(*_shown(_Found("MSH-10", messages, messages)))
    return tuple(_history(one, (), ()) for one in messages)


async def _destinations(configuration: Configuration, engine: Engine, at: str | None) -> list[str]:
    """Return the names of all destinations, also former ones; or only `at`.

    Raises:
        ConfigError: there never was a destination named `at`.
    """
    known = [one.name for one in routes_of(configuration).destinations]
    names = list(dict.fromkeys([*known, *(one.name for one in await lease_standings(engine))]))
    if at is not None and at not in names:
        raise wrong(at, "no destination has this name", f"Destinations are {', '.join(names) or 'none'}.")
    return names if at is None else [at]


async def _found(engine: Engine, wanted: WantedMessages, names: Sequence[str]) -> _Found:
    """Find the messages, and all messages of the lanes that they belong to."""
    by, study_ids, patients = await _studies(engine, wanted, names)
    lanes = [one for study_id in study_ids[: wanted.most] for one in await messages_of_study(engine, study_id)]
    lanes = [one for one in lanes if wanted.at in {None, one.destination}]
    text = id_of(wanted.text)
    meant: dict[str, Callable[[ShownMessage], bool]] = {
        "MSH-10": lambda one: one.control_id == wanted.text,
        "report": lambda one: text in {one.report_id, *one.report_ids},
        "patient": lambda one: one.patient_id in patients,
    }
    return _Found(by, [one for one in lanes if by not in meant or meant[by](one)], lanes)


async def _with_fates(engine: Engine, wanted: WantedMessages, found: _Found, known: Sequence[FatePlace]) -> _Found:
    """Add the fates of the reports that were asked for, or that the found messages contain."""
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
    """Return the kind of key, the studies found by it, and the patients if searched by number."""
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
    """Write each shown study to the audit, without accession and patient numbers."""
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
    """Return the message sent before under one of its numbers, and the control ids of messages it superseded."""
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
    """Compare a message with the one it replaced."""
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
