"""`receivers rehearse`: send invented studies to a destination, and list what should then stand in the EHR.

HL7 v2.5.1 §2.15.9.11 (MSH-11 `T`, training), decisions D13, D19, D21, D32. The messages are composed by the feed's own
code, by the profile of the destination, and go over its link. Nothing of them enters the ledger: they have an MSH-10
and filler order numbers that say REHEARSAL. They are refused while the feed could send to the destination. If asked to,
the gateway ticks the checklist by reading the EHR back (decision D49).
Proved by tests/gateway/cli/test_rehearse.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.compose.sent_report import WITHDRAWN, SentReport, sent_reports
from gateway.feed.deliver.channel import Channel, channel
from gateway.feed.deliver.outcome import ruling_on
from gateway.feed.operator.arguments import (
    LEFT_OUT,
    CommandAnswer,
    RefusedCommand,
    at,
    destination_named,
    needed_reason,
    wrong,
)
from gateway.feed.payload import Acknowledgement, PrintedField, StudyRound
from gateway.feed.read_back.compare import Finding
from gateway.feed.read_back.ehr import EhrClient
from gateway.feed.read_back.filed_reports import read_back, systems_of
from gateway.mllp.permit import Permit
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.errors import EhrUnavailable, FeedError
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.database.facts import noted
from gateway.store.database.kept import Kept
from gateway.store.feed.leases import lease_standings
from gateway.store.feed.ledger import stock
from gateway.store.feed.messages import FOUND, NOT_CHECKABLE, Head
from gateway.store.feed.outbox import NewMessage, WaitingRow
from gateway.store.feed.sent import SentState
from gateway.store.feed.states import MOVED, RELEASED
from mappings.life.changes import Known, changes
from mappings.model import AnsweredOrder, Facts, PdfFacts, Reported, Study
from mappings.profile import Site

TRAINING: Final = "T"
_STATUS: Final = {
    "F": "final",
    "C": "corrected",
    "A": "final, with an addition",
    "P": "preliminary",
    "R": "preliminary",
}
_TAKES_BACK: Final = frozenset({WITHDRAWN, MOVED})
_PATIENCE: Final = 120.0  # seconds in which an EHR should have filed what it acknowledged
_BETWEEN: Final = 5.0


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """Step of a rehearsal: what happens to an invented study, and the study afterwards.

    `is_withdrawn`: an operator withdraws its reports. `orders` are those of the EHR that it answers, if any.
    """

    title: str
    study: Study
    orders: tuple[AnsweredOrder, ...] = ()
    pdf: Mapping[str, PdfFacts] = field(default_factory=dict)
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """Steps of a rehearsal; `run` names it in MSH-10, numbers and texts, `at` is the time of its messages.

    `is_read_back`: after each message the EHR is read back, before the next is sent.
    """

    run: str
    at: datetime
    steps: tuple[ScriptStep, ...]
    is_read_back: bool = False


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """State of the EHR after a message, under one filler order number of one patient.

    `status` is final, corrected, withdrawn, … `text` are lines that its text has, `gone` those that it has no more.
    """

    patient_number: str
    accession: str
    filler_number: str
    status: str
    text: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    is_critical: bool = False
    has_pdf: bool = False

    def __str__(self) -> str:
        where = f"patient {self.patient_number}, accession {self.accession or '-'}, filler {self.filler_number}"
        parts = [self.status, *(["critical"] if self.is_critical else []), *(["with its PDF"] if self.has_pdf else [])]
        parts += [f"has {one!r}" for one in self.text] + [f"has no more {one!r}" for one in self.gone]
        return f"{where}: {'; '.join(parts)}"


@dataclass(frozen=True, slots=True)
class RehearsedMessage:
    """Message of a step; `answer` is the acknowledgement's code, or why there is none, `is_accepted` what it means.

    Without a `body` it is not sent. `filed` is what the EHR shows for each item, if it was read back. `is_whole`: no
    earlier text under its numbers still stands.
    """

    step: int
    title: str
    control_id: str = ""
    items: tuple[ChecklistItem, ...] = ()
    answer: str = ""
    is_accepted: bool = False
    filed: tuple[str, ...] = ()
    is_whole: bool = field(default=True, metadata=LEFT_OUT)
    body: bytes | None = field(default=None, repr=False, metadata=LEFT_OUT)

    def lines(self) -> Iterator[str]:
        """Yield the answer, and the items: an item is ticked if the EHR shows all of it that can be compared."""
        yield f"   {self.control_id or 'no message'}: {self.answer}"
        for item, shown in zip(self.items, self.filed or [""] * len(self.items), strict=True):
            yield f"   [{'x' if shown == FOUND else ' '}] {item}"
            if shown:
                yield f"       EHR: {shown}{'; look at its PDF yourself' if item.has_pdf else ''}"


@dataclass(frozen=True, slots=True)
class Rehearsed(CommandAnswer):
    """Answer of `receivers rehearse`: every message with its answer, and the checklist to sign."""

    name: str
    run: str
    at: datetime
    reason: str
    messages: tuple[RehearsedMessage, ...]

    @property
    def exit_code(self) -> int:
        """1 unless the receiver accepted every message, and the EHR shows each as it was sent, if it was read back."""
        return int(not all(one.is_accepted and {*one.filed} <= {FOUND} for one in self.messages))

    def lines(self) -> Iterator[str]:
        """Yield the checklist."""
        yield f"Rehearsal {self.run} of {self.name}, {at(self.at)}: {self.reason}"
        yield "Every message has MSH-11 T. An acknowledgement is not filing: look into the EHR after each step."
        step = 0
        for one in self.messages:
            if one.step != step:
                step = one.step
                yield ""
                yield f"{step}. {one.title}"
            yield from one.lines()
        accepted = sum(one.is_accepted for one in self.messages)
        yield ""
        yield f"{accepted} of {len(self.messages)} messages accepted"
        if shown := [each for one in self.messages for each in one.filed]:
            yield f"{shown.count(FOUND)} of {len(shown)} items stand in the EHR as they were sent"
        yield "Checked in the EHR by: ______________________________  Date: ____________________"


async def rehearse(
    engine: Engine, configuration: Configuration, name: str, script: Script, reason: str
) -> Rehearsed | RefusedCommand:
    """Send the messages of a script to a destination, in order, and return the checklist.

    After a message without a usable answer nothing more is sent. The act is noted before the first message.

    Raises:
        ConfigError: no such destination, no EHR to read back, no reason, or MSH-11 would not be `T`.
        StoreUnavailable: the store cannot be reached.
    """
    destination, site = rehearsed_at(configuration, name, is_read_back=script.is_read_back), configuration.site
    messages = list(composed(script, destination.site(site), destination))
    if not any(one.body for one in messages):
        return RefusedCommand((f"nothing could be sent to {name}: {messages[0].answer}",))
    if why := await _why_not(engine, destination):
        return RefusedCommand((why, "Nothing was sent."))
    await engine.do(partial(noted, "receivers-rehearse", name, needed_reason(reason), micros(script.at)))
    link = channel(destination, HL7V2, _ignore_late, Permit())
    chart = _Chart(EhrClient(destination.ehr), systems_of(site)) if script.is_read_back and destination.ehr else None
    try:
        sent = [
            replace(one, filed=await chart.shows(one)) if chart and one.is_accepted else one
            async for one in _sent(engine, destination, link, messages)
        ]
    finally:
        await link.close()
        if chart:
            await chart.close()
    return Rehearsed(name, script.run, script.at, reason, tuple(sent))


def rehearsed_at(configuration: Configuration, name: str, *, is_read_back: bool = False) -> Destination:
    """Find a destination to rehearse with.

    Raises:
        ConfigError: there is none of that name, it has no EHR to read back, or these are production settings.
    """
    destination, given = destination_named(configuration, name, enabled=False), configuration.site.processing_id
    if given != TRAINING:
        problem = f"{given}: a rehearsal only goes to a test system, by settings whose messages say so in MSH-11"
        raise wrong("mapping.processing_id", problem, 'Use the settings of the test system, with processing_id = "T".')
    if is_read_back and destination.ehr is None:
        raise wrong("--filed", f"the EHR of {name} cannot be read back", "Set ehr_url, or sign the checklist by hand.")
    return destination


class _Chart:
    """Reader of what the EHR shows of the messages that it acknowledged."""

    def __init__(self, ehr: EhrClient, systems: Mapping[str, str]) -> None:
        self._ehr, self._systems = ehr, systems
        self._sent: list[SentReport] = []
        self._unavailable: Finding | None = None

    async def close(self) -> None:
        """Close the connections to the EHR."""
        await self._ehr.close()

    async def shows(self, message: RehearsedMessage) -> tuple[str, ...]:
        """Return the fate of each order in a message, and codes of what differs; `found` if nothing does."""
        reports = sent_reports(message.body or b"", self._systems, message.is_whole)
        found = [await self._looked_up(one) for one in reports]
        self._sent += reports
        return tuple(f"{one.fate} {one.detail}".rstrip() for one in found)

    async def _looked_up(self, report: SentReport) -> Finding:
        """Look a report up until it is found or patience ends; an EHR that gave no answer in that time is left."""
        earlier = [one.text for one in self._sent if one.filler == report.filler and one.status != WITHDRAWN]
        until = clock.monotonic() + _PATIENCE
        while self._unavailable is None:
            is_last = clock.monotonic() >= until
            try:
                found = await read_back(self._ehr, report, earlier)
                if found.fate == FOUND or is_last:
                    return found
            except EhrUnavailable as error:
                self._unavailable = Finding(NOT_CHECKABLE, error.reason) if is_last else None
            await clock.sleep(_BETWEEN)
        return self._unavailable


def _ignore_late(_: Acknowledgement, __: str) -> None:
    """Ignore an application acknowledgement: the checklist asks what was filed."""


async def _why_not(engine: Engine, destination: Destination) -> str:
    """Return why messages of the feed could come between those of the rehearsal; empty if they cannot."""
    name = destination.name
    standing = next((one for one in await lease_standings(engine) if one.name == name), None)
    is_served = destination.is_enabled and standing is not None and standing.holder and not standing.paused
    if is_served and not destination.dry_run:
        return f"a running gateway sends to {name}. Run `feed pause {name} --reason …`, and resume after the rehearsal."
    states = (await stock(engine, name, 1)).messages
    if open_ := [state for state in ("sending", "indeterminate") if states.get(state)]:
        return f"{name} has messages in hand or in doubt ({', '.join(open_)}): settle them first, see `feed status`."
    return ""


async def _sent(
    engine: Engine, destination: Destination, link: Channel, messages: Iterable[RehearsedMessage]
) -> AsyncIterator[RehearsedMessage]:
    """Send each message that has bytes, and yield all with their answers."""
    rate, stopped = destination.receiver.rate_limit, ""
    for number, one in enumerate(messages, 1):
        stopped = stopped or await _why_not(engine, destination)
        if stopped or not one.body:
            yield replace(one, answer=f"not sent: {stopped or one.answer}")
            continue
        try:
            answer = await link.exchange(_head(number, one.control_id, one.body))
        except FeedError as error:
            stopped = "the message before has no usable answer"
            yield replace(one, answer=error.code)
            continue
        ruling = ruling_on(answer, destination) if answer else None
        code = ruling.code if ruling else "taken, without an acknowledgement"
        yield replace(one, answer=code, is_accepted=ruling is None or ruling.meaning == "delivered")
        await clock.sleep(max(destination.gap, 1 / rate if rate else 0.0))


def _head(number: int, control_id: str, body: bytes) -> Head:
    return Head(number, "", "", "rehearsal", control_id, "queued", 0, 0, False, None, (), (), "", False, body)


def composed(script: Script, site: Site, destination: Destination) -> Iterator[RehearsedMessage]:
    """Compose the messages of a script as the feed would, each step after those before it.

    A step without a message yields one without bytes, whose `answer` is the reason.
    """
    lives: dict[str, _Life] = {}
    count = 0
    for number, step in enumerate(script.steps, 1):
        life = lives.setdefault(step.study.study_id, _Life(site, destination))
        made, reason = life.after(step, script.at)
        if not made:
            yield RehearsedMessage(number, step.title, answer=reason)
        for message in made:
            count += 1
            if message.state == "dead_letter":
                reason = f"it breaks the receiver's rule {message.reason.removeprefix('rule-')}"
                yield RehearsedMessage(number, step.title, answer=reason)
                continue
            control_id = f"REHEARSAL{script.run}{count:03d}"
            body = HL7V2.resent(message.body, control_id)
            items = life.items(message)
            yield RehearsedMessage(number, step.title, control_id, items, is_whole=message.is_whole, body=body)


def composed_bytes(script: Script, site: Site, destination: Destination) -> Iterator[bytes]:
    """Compose the messages of a script, whatever the rules of the receiver say of them."""
    lives: dict[str, _Life] = {}
    for step in script.steps:
        made, _ = lives.setdefault(step.study.study_id, _Life(site, destination)).after(step, script.at)
        yield from (message.body for message in made)


class _Life:
    """Life of one invented study at a destination: what was ingested and sent of it so far."""

    def __init__(self, site: Site, destination: Destination) -> None:
        self._site, self._destination = site, destination
        self._before: Kept | None = None
        self._known, self._sent, self._rows = Known(), SentState(), 0
        self._lines: dict[str, str] = {}
        self._standing: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def after(self, step: ScriptStep, now: datetime) -> tuple[Sequence[NewMessage], str]:
        """Return the messages of a step, or the reason that there is none."""
        known = replace(self._known, is_withdrawn=step.is_withdrawn, at=now)
        change = changes(self._before.study if self._before else None, step.study, self._site, known)
        facts = Facts(
            pdf=step.pdf,
            orders=step.orders,
            corrected=change.corrected,
            seen=change.seen,
            gone=change.gone,
            is_withdrawn=change.is_withdrawn,
        )
        moves = RELEASED if change.is_move else 0
        critical = {one.report_id for one in change.study.completed if one.is_critical}
        rows = []
        for cause in change.causes:
            self._rows += 1
            about = cause.report_id, cause.kind, cause.content_version, 0, 1, cause.report_id in critical
            rows.append(WaitingRow(self._rows, *about, moves, micros(now), None, micros(now)))
        kept, formers = Kept(change.study, change.version, facts), [self._before] if self._before else []
        round_ = StudyRound(kept, self._rows, self._sent, now, formers)
        made = HL7V2.composed(round_, rows, self._site, self._destination)
        self._before, self._known = kept, change.known
        self._lines = {one.report_id: (one.text or "").partition("\n")[0] for one in change.study.reports}
        for message in made.messages:
            if message.state != "dead_letter":
                self._note(message)
        return made.messages, next((row.reason for row in made.settled if row.reason), "nothing to send")

    def _note(self, message: NewMessage) -> None:
        """Record a message as the ledger would."""
        numbers = {report_id: dict(under) for report_id, under in self._sent.numbers.items()}
        for report_id in message.report_ids:
            numbers.setdefault(report_id, {}).update(dict.fromkeys(message.filler_order_numbers, message.patient_id))
        is_back = message.kind in _TAKES_BACK
        whose = "" if is_back else message.patient_id
        for under in numbers.values():
            under.update({one: whose for one in message.filler_order_numbers if one in under})
        signed = self._sent.signed.union(() if is_back else message.filler_order_numbers)
        told = Reported(instant(message.reported or 0), message.statuses)
        reported = {**self._sent.reported, **dict.fromkeys(message.filler_order_numbers, told)}
        self._sent = replace(self._sent, numbers=numbers, signed=signed, is_told=True, reported=reported)

    def items(self, message: NewMessage) -> tuple[ChecklistItem, ...]:
        """Return what should stand in the EHR after a message, for each of its orders."""
        printed = HL7V2.fields(message.body)
        patient = next(_values(printed, "PID-3"), "").partition("^")[0]
        accessions = _by_place(printed, f"OBR-{self._destination.receiver.accession_field}")
        statuses, fillers = _by_place(printed, "OBR-25"), _by_place(printed, "OBR-3")
        written = "\n".join(_values(printed, "OBX-5"))
        has_pdf = not {"ED", "RP"}.isdisjoint(_values(printed, "OBX-2"))
        items = []
        for place, filler in fillers.items():
            number, status = filler.partition("^")[0], _STATUS.get(statuses.get(place, ""), "")
            accession = accessions.get(place, "").partition("^")[0]
            stood, is_back = self._standing.get((patient, number, accession), ()), message.kind in _TAKES_BACK
            said = [line for line in (self._lines.get(one, "") for one in message.report_ids) if line in written]
            stands = tuple(dict.fromkeys(() if is_back else said if message.is_whole else (*stood, *said)))
            self._standing[patient, number, accession] = stands
            gone = tuple(line for line in stood if line not in stands)
            status, is_critical = WITHDRAWN if is_back else status, message.is_critical and not is_back
            items.append(ChecklistItem(patient, accession, number, status, stands, gone, is_critical, has_pdf))
        return tuple(items)


def _values(printed: Iterable[PrintedField], of_any: str) -> Iterator[str]:
    return (one.value for one in printed if one.of_any == of_any)


def _by_place(printed: Iterable[PrintedField], of_any: str) -> dict[str, str]:
    """Map each segment (`OBR[2]`) to its value of a field."""
    return {one.place.rpartition("-")[0]: one.value for one in printed if one.of_any == of_any}
