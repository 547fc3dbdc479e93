"""`feed replay`, `feed backload`: send reports again (as they are now or were sent), or send history before the start.

HL7 v2.5.1 §2.15.9.10 (MSH-10 Message Control ID): each message gets a new one; decisions D31, D35. A destination that
was sent a study gets it again. For other studies its filters decide, and reports signed before its start are not sent.
A message sent again as it was (`--as-sent`) is refused if a newer one was sent under the same filler order number,
unless forced. It is always refused if it breaks a rule of the receiver, or has a number under an authority that several
facilities shared (D11).
Proved by tests/gateway/cli/test_feed.py and tests/contract/test_ledger.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final, TypeAlias

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.fate import fate_of, fate_place, is_lacking
from gateway.feed.operator.arguments import EVER, CommandAnswer, Foreseen, TimeSpan, counted, destination_named, wrong
from gateway.routing import Destination, ever_in_force, routed
from gateway.runtime import clock
from gateway.runtime.progress import Progress, through
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, micros
from gateway.store.database.facts import noted
from gateway.store.database.kept import Kept, kept
from gateway.store.database.locks import REVISION
from gateway.store.feed.destinations import origin
from gateway.store.feed.leases import lock_destination
from gateway.store.feed.ledger import dead_letters, report_records
from gateway.store.feed.messages import ALTERED
from gateway.store.feed.outbox import (
    BEHIND,
    USUAL,
    BackloadSpan,
    LaneMessage,
    NewMessage,
    Resend,
    ToSend,
    accepted_reports,
    add_message,
    insert_replay_row,
    is_to_be_made,
    lane,
    queue_backload,
    queue_replays,
    signed_within,
    study_of,
    to_backload,
    tried,
    undated,
)
from gateway.store.feed.states import MOVED, MessageState
from gateway.store.known_study import STUDY, reports_sent
from mappings.model import Cause
from mappings.patient.identifiers import message_control_id
from mappings.values.dates import parse_instant

Studies: TypeAlias = dict[str, frozenset[str] | None]
_READ_AT_ONCE: Final = 500
_REMEDY: Final = "Write one of --study ID, --report ID, --from and --to, --dead-letters; or --missing."


@dataclass(frozen=True, slots=True)
class ChosenStudies:
    """Studies chosen by one criterion; with `missing`, only the reports that the destination lacks."""

    study_id: str | None = None
    report_id: str | None = None
    span: TimeSpan | None = None
    dead_letters: bool = False
    missing: bool = False

    def __post_init__(self) -> None:
        given = (self.study_id, self.report_id, self.span, self.dead_letters or None)
        count = sum(one is not None for one in given)
        if count > 1 or not (count or self.missing):
            raise wrong("--study", "nothing is chosen" if not count else "more than one thing is chosen", _REMEDY)

    def __str__(self) -> str:
        criterion = self.study_id or self.report_id or (str(self.span) if self.span else "")
        text = criterion or ("dead letters" if self.dead_letters else "everything")
        return f"{text}, what is missing" if self.missing else text

    @property
    def priority(self) -> int:
        """Priority of the messages: behind all newer messages if there may be many."""
        return USUAL if self.study_id or self.report_id else BEHIND

    async def studies(self, engine: Engine, destination: Destination) -> Studies:
        """Return the chosen studies, each with the ids of the chosen reports; None means all its signed reports.

        Raises:
            ConfigError: the study or the report is not stored.
        """
        studies = await self._named(engine, destination.name)
        return await _lacking(engine, studies, destination) if self.missing else studies

    async def _named(self, engine: Engine, destination: str) -> Studies:
        if self.study_id is not None:
            if not await engine.fetch(REVISION, study_id=self.study_id):
                raise wrong(self.study_id, "no such study is stored", "`sync` takes in all that AutoScribe lists.")
            return {self.study_id: None}
        if self.report_id is not None:
            study_id = await study_of(engine, self.report_id)
            if study_id is None:
                raise wrong(self.report_id, "no such report is stored", "`sync` takes in all that AutoScribe lists.")
            return {study_id: frozenset({self.report_id})}
        if self.dead_letters:
            return {one.study_id: None for one in await dead_letters(engine, destination)}
        span = self.span or EVER
        return {study_id: None async for _, study_id in signed_within(engine, span.since, span.until)}


async def _lacking(engine: Engine, studies: Studies, destination: Destination) -> Studies:
    """Return the reports that are open at the destination and that nothing is about to send."""
    lacking_by_study: Studies = {}
    ids, place = iter(sorted(studies)), fate_place(destination)
    while batch := list(islice(ids, _READ_AT_ONCE)):
        for study_id, known in (await report_records(engine, batch)).items():
            wanted = studies[study_id]
            lacking = frozenset(
                report_id
                for report_id, record in known.reports.items()
                if (wanted is None or report_id in wanted) and is_lacking(fate_of(report_id, record, place))
            )
            if lacking and not known.is_external:
                lacking_by_study[study_id] = lacking
    return lacking_by_study


_BATCH: Final = 100
_NOT_SENT: Final = {
    "before_start": "signed before its start: `feed backload` sends that",
    "unrouted": "left out by its filters",
    "unsigned": "without a signed report",
}


@dataclass(frozen=True, slots=True)
class Replayed(CommandAnswer):
    """Answer of `feed replay`: what is sent, and the reports `left` out by reason; `chosen` counts studies."""

    name: str
    chosen: int
    found: ToSend
    left: Mapping[str, int]

    @property
    def exit_code(self) -> int:
        """1 if studies were chosen, and nothing of them is sent."""
        return 1 if self.chosen and not self.found.reports else 0

    def lines(self) -> Iterator[str]:
        """Yield how much is sent, and what is not."""
        reports, studies = counted(self.found.reports, "report"), counted(self.found.studies, "study")
        yield f"{self.name} is sent {reports} of {studies} again, as they are by now"
        yield from _left_lines(self.left)


async def foresee_replay(engine: Engine, configuration: Configuration, name: str, chosen: ChosenStudies) -> Foreseen:
    """Count what a replay of the chosen studies would send.

    Raises:
        ConfigError: no such destination, or the chosen study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    destination = destination_named(configuration, name)
    replay = Replay(engine, destination, chosen.priority, writes=False)
    studies = await chosen.studies(engine, destination)
    run = await _run(replay, studies, micros(clock.now()))
    return Foreseen(run.found, tuple(_left_lines(run.left)), studies=studies)


async def replay(  # noqa: PLR0913, PLR0917 (what a replay is)
    engine: Engine,
    configuration: Configuration,
    name: str,
    chosen: ChosenStudies,
    reason: str,
    studies: Studies | None = None,
) -> Replayed:
    """Queue the chosen studies in their current state; `studies` are those that the operator agreed to.

    Raises:
        ConfigError: no such destination, or the chosen study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    destination, now = destination_named(configuration, name), micros(clock.now())
    studies = await chosen.studies(engine, destination) if studies is None else studies
    await engine.do(partial(noted, "feed-replay", f"{name} {chosen}", reason, now))
    run = await _run(Replay(engine, destination, chosen.priority), studies, now)
    return Replayed(name, len(studies), run.found, run.left)


async def _run(run: Replay, studies: Studies, now: int) -> Replay:
    """Add all studies to a replay, with a progress display."""
    for study_id, report_ids in through("replay", studies.items()):
        await run.add(study_id, report_ids, now)
    await run.flush(now)
    return run


def _left_lines(left: Mapping[str, int]) -> Iterator[str]:
    for state, count in sorted(left.items()):
        yield f"{count} are not sent: {_NOT_SENT[state]}"


class Replay:
    """Replay to one destination; counts the messages to send, and the reports left out by reason.

    With `writes=False` it only counts.
    """

    def __init__(self, engine: Engine, destination: Destination, priority: int, *, writes: bool = True) -> None:
        self._engine, self._destination, self._priority, self._writes = engine, destination, priority, writes
        self._batch: list[Resend] = []
        self.found = ToSend()
        self.left: Counter[str] = Counter()

    async def add(self, study_id: str, report_ids: Collection[str] | None, now: int) -> None:
        """Queue the given reports of a study again; None means all its signed reports."""
        name = self._destination.name
        rows = await self._engine.fetch(STUDY, study_id=study_id)
        if not rows:
            return
        known = await asyncio.to_thread(kept, rows[0][2])
        already = (await reports_sent(self._engine, study_id)).get(name, set())
        was_taken = await accepted_reports(self._engine, name, study_id)
        resends = self._resends(known, report_ids, already, was_taken)
        self._count(known, resends)
        self._batch += resends if self._writes else []
        if len(self._batch) >= _BATCH:
            await self.flush(now)

    async def flush(self, now: int) -> None:
        """Write the queued rows to the store."""
        if self._batch:
            await self._engine.do(partial(queue_replays, self._destination.name, self._batch, now))
            self._batch = []

    def _count(self, known: Kept, resends: Sequence[Resend]) -> None:
        """Count the messages that a study adds; a whole message carries all its reports (D19)."""
        wanted = {one.report_id for one in resends}
        critical = sum(one.is_critical is True for one in known.study.completed if one.report_id in wanted)
        signed = [one.signed for one in resends if one.signed is not None]
        moments = min(signed, default=None), max(signed, default=None)
        messages = min(len(resends), 1) if self._destination.receiver.addendum == "replace" else len(resends)
        self.found += ToSend(messages, critical, *moments, len(resends), min(len(resends), 1))

    def _resends(
        self, known: Kept, report_ids: Collection[str] | None, already: set[str], was_taken: set[str]
    ) -> list[Resend]:
        """Return the outbox rows for reports of a study, and count the reports left out."""
        study = known.study
        reports = {one.report_id: one for one in study.completed if report_ids is None or one.report_id in report_ids}
        if not reports:
            self.left["unsigned"] += 1
        causes = [Cause(one, "replay", known.version) for one in reports]
        sent = {self._destination.name: already}
        made = []
        for cause, row in routed(study, causes, sent, ever_in_force([self._destination.terms]), gone=known.facts.gone):
            if row.state != "waiting":
                self.left[row.state] += 1
                continue
            report = reports[cause.report_id]
            signed = parse_instant(report.signed_at)
            made.append(
                Resend(
                    study.study_id,
                    report.report_id,
                    known.version,
                    # a report that was delivered once is not urgent again
                    report.is_critical is True and report.report_id not in was_taken,
                    self._priority,
                    micros(signed) if signed else None,
                )
            )
        return made


_SENT: Final = "sent"
_REFUSED: Final = {
    "newer-sent": "a newer version was sent under the same filler order number: --force-old --reason sends it all the"
    " same",
    "newer-waits": "a newer version is about to be sent: --force-old --reason sends it all the same",
    "text-purged": "their text was deleted after feed.retention_days",
    ALTERED: "their stored text was altered: without --as-sent they are composed again",
    "rule-broken": "they break a rule of the receiver",
    "nothing-sent": "studies without a message that was sent or given up",
}


@dataclass(frozen=True, slots=True)
class AsSentReplay:
    """Options of an as-sent replay: destination, priority, `dead_letters` only, `force_old` also old versions."""

    destination: Destination
    priority: int
    dead_letters: bool
    force_old: bool


@dataclass(frozen=True, slots=True)
class ReplayedAsSent(CommandAnswer):
    """Answer of an as-sent replay: messages that are sent again byte for byte, and those refused by reason."""

    name: str
    messages: int
    refused: Mapping[str, int]

    @property
    def exit_code(self) -> int:
        """1 if any message is refused."""
        return 1 if self.refused else 0

    def lines(self) -> Iterator[str]:
        """Yield how many are sent, and how many not."""
        yield f"{self.name} is sent {counted(self.messages, 'message')} again as made, each with an MSH-10 of its own"
        yield from _refused_lines(self.refused)


@dataclass(frozen=True, slots=True)
class AsSentRequest:
    """Studies chosen for an as-sent replay; with `force_old`, also messages older than what was sent since."""

    name: str
    chosen: ChosenStudies
    reason: str = ""
    force_old: bool = False


async def foresee_as_sent(engine: Engine, configuration: Configuration, asked: AsSentRequest) -> Foreseen:
    """Count the chosen messages that would be sent again, and those that would be refused.

    Raises:
        ConfigError: no such destination, or the chosen study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    now, again = micros(clock.now()), await _replay_of(engine, configuration, asked)
    would, refused = ToSend(), Counter[str]()
    studies = await asked.chosen.studies(engine, again.destination)
    for study_id, report_ids in through("replay", studies.items()):
        outcomes = await tried(engine, partial(_became, again, study_id, report_ids, now))
        refused["nothing-sent"] += not outcomes
        for message, code in outcomes:
            if code == _SENT:
                would += ToSend(1, int(message.is_critical), message.signed, message.signed)
            else:
                refused[code] += 1
    return Foreseen(would, tuple(_refused_lines(+refused)), bool(+refused), studies)


async def replay_as_sent(
    engine: Engine, configuration: Configuration, asked: AsSentRequest, studies: Studies | None = None
) -> ReplayedAsSent:
    """Queue chosen messages again as they were composed; `studies` are those that the operator agreed to.

    Raises:
        ConfigError: no such destination, or the chosen study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    now, again = micros(clock.now()), await _replay_of(engine, configuration, asked)
    verb = "feed-replay-forced-old" if asked.force_old else "feed-replay-as-sent"
    outcomes = Counter[str]()
    studies = await asked.chosen.studies(engine, again.destination) if studies is None else studies
    await engine.do(partial(noted, verb, f"{asked.name} {asked.chosen}", asked.reason, now))
    for study_id, report_ids in through("replay", studies.items()):
        outcomes.update(await engine.do(partial(queue_again, again, study_id, report_ids, now)))
    return ReplayedAsSent(asked.name, outcomes.pop(_SENT, 0), outcomes)


async def _replay_of(engine: Engine, configuration: Configuration, asked: AsSentRequest) -> AsSentReplay:
    destination = destination_named(configuration, asked.name)
    destination = replace(destination, first_name=await origin(engine, asked.name))
    return AsSentReplay(destination, asked.chosen.priority, asked.chosen.dead_letters, asked.force_old)


def _refused_lines(refused: Mapping[str, int]) -> Iterator[str]:
    for code, count in sorted(refused.items()):
        yield f"{count} refused: {_REFUSED[code]}"


def queue_again(again: AsSentReplay, study_id: str, report_ids: frozenset[str] | None, now: int) -> Steps[list[str]]:
    """Queue the messages of one study again as they were sent; return `sent` or the reason of refusal for each."""
    found = yield from _became(again, study_id, report_ids, now)
    return [code for _, code in found] or ["nothing-sent"]


def _became(
    again: AsSentReplay, study_id: str, report_ids: frozenset[str] | None, now: int
) -> Steps[list[tuple[LaneMessage, str]]]:
    """Queue the messages of one study again; return each message with `sent` or its reason of refusal."""
    name = again.destination.name
    yield from lock_destination(name)
    stored = yield from lane(name, study_id)
    is_waiting = yield from is_to_be_made(name, study_id)
    wanted = _wanted(stored, again, report_ids)
    outcomes: list[tuple[LaneMessage, str]] = []
    for original in wanted:
        is_old = _is_followed(original, stored, wanted)
        code = _refusal(original, again, is_old=is_old, is_waiting=is_waiting)
        outcomes.append((original, code))
        if code == _SENT:
            is_critical = original.is_critical and original.state == "dead_letter"
            report_id, version, signed = original.report_id, original.content_version, original.signed
            resend = Resend(study_id, report_id, version, is_critical, again.priority, signed)
            row, replay = yield from insert_replay_row(name, resend, now)
            resent_message = _message(original, resend, row, replay, again, is_old=is_old or is_waiting)
            yield from add_message(name, study_id, resent_message, now)
    return outcomes


def _wanted(stored: Sequence[LaneMessage], again: AsSentReplay, report_ids: frozenset[str] | None) -> list[LaneMessage]:
    """Return the messages to send again: the latest of each report, or of each order with its later addenda."""
    sent_messages = [one for one in stored if not one.is_draft and one.kind != MOVED]
    settled = [one for one in sent_messages if one.state in {"delivered", "dead_letter"}]
    if again.dead_letters:
        whole = _newest_whole(stored)
        settled = [one for one in settled if one.state == "dead_letter" and one.number >= whole.get(one.restates, 0)]
    if report_ids is not None:
        own = [one for one in settled if one.report_id in report_ids]
        return (own or [one for one in settled if not report_ids.isdisjoint(one.report_ids)])[-1:]
    return list(_last_said(settled))


def _last_said(settled: Sequence[LaneMessage]) -> Iterator[LaneMessage]:
    """Return, for each order, its newest whole message and the messages after that."""
    whole = _newest_whole(settled)
    return (one for one in settled if one.number >= whole.get(one.restates, 0))


def _newest_whole(stored: Iterable[LaneMessage]) -> dict[str, int]:
    """Return the number of the newest whole message of each supersession key."""
    return {one.restates: one.number for one in stored if one.is_whole}


def _is_followed(message: LaneMessage, stored: Iterable[LaneMessage], wanted: Sequence[LaneMessage]) -> bool:
    """True if a newer message under one of its numbers was sent or is open, apart from those sent again, too."""
    return any(
        other.number > message.number
        and other not in wanted
        and (other.was_sent or other.is_open)
        and not set(message.filler_order_numbers).isdisjoint(other.filler_order_numbers)
        for other in stored
    )


def _refusal(message: LaneMessage, again: AsSentReplay, *, is_old: bool, is_waiting: bool) -> str:
    """Return why a message is not sent again, or `sent`."""
    if message.body is None:
        return "text-purged"
    if message.is_altered:
        return ALTERED
    if reason := HL7V2.refusal(message.body, again.destination.receiver):
        return reason
    if again.force_old:
        return _SENT
    return "newer-sent" if is_old else "newer-waits" if is_waiting else _SENT


def _message(  # noqa: PLR0913 (all that a copy needs)
    original: LaneMessage, resend: Resend, row: int, replay: int, again: AsSentReplay, *, is_old: bool
) -> NewMessage:
    """Return a copy of a message with a new MSH-10; the copy of an old version supersedes nothing queued."""
    cause = Cause(original.report_id, "replay", original.content_version, replay=replay)
    control_id = message_control_id(cause, again.destination.control_name)
    state: MessageState = "recorded" if again.destination.dry_run else "queued"
    return NewMessage(
        outbox=row,
        report_id=original.report_id,
        kind="replay",
        content_version=original.content_version,
        control_id=control_id,
        restates=original.restates,
        filler_order_numbers=original.filler_order_numbers,
        report_ids=original.report_ids,
        patient_id=original.patient_id,
        is_whole=original.is_whole and not is_old,
        is_draft=False,
        is_critical=resend.is_critical,
        priority=0 if resend.is_critical else resend.priority,
        signed=original.signed,
        body=HL7V2.resent(original.body or b"", control_id),
        state=state,
    )


BATCH: Final = 500
BACKLOAD_RATE: Final = 2.0  # messages a second, unless --rate says otherwise
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class BackloadRequest:
    """Options of a backload: span of signing times, rate in studies a second, `missing` for reports never sent.

    `reason` is kept in the audit.
    """

    times: TimeSpan
    rate: float | None = None
    missing: bool = False
    reason: str = ""

    def span_at(self, name: str, rate: float) -> BackloadSpan:
        """Return the span at a destination."""
        return BackloadSpan(name, self.times.since, self.times.until, int(_SECOND / rate), self.missing)


@dataclass(frozen=True, slots=True)
class Backloaded(CommandAnswer):
    """Answer of `feed backload`: what is sent, at `rate` studies a second; `seconds` is the shortest time it takes.

    `undated` counts reports from before its start that no span includes, since their time of signing is not known.
    """

    name: str
    reports: int
    studies: int
    rate: float
    seconds: int
    undated: int

    def lines(self) -> Iterator[str]:
        """Yield how much is sent, and how long that takes."""
        total = f"{counted(self.reports, 'report')} of {counted(self.studies, 'study')}"
        pace = f"{self.rate:g} studies a second: {counted(self.seconds, 'second')} at least"
        yield f"{self.name} is sent {total}, {pace}"
        if self.undated:
            undated_reports = counted(self.undated, "report")
            yield f"{undated_reports} from before its start without a time of signing: no span includes them"


async def foresee_backload(engine: Engine, configuration: Configuration, name: str, asked: BackloadRequest) -> Foreseen:
    """Count what a backload of a span would send.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, name)
    return Foreseen(await to_backload(engine, asked.span_at(name, asked.rate or BACKLOAD_RATE)))


async def backload(engine: Engine, configuration: Configuration, name: str, asked: BackloadRequest) -> Backloaded:
    """Queue the history of a span at the requested rate, or at `BACKLOAD_RATE` without one.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, name)
    rate, studies, reports = asked.rate or BACKLOAD_RATE, 0, 0
    span = asked.span_at(name, rate)
    would = await to_backload(engine, span)
    await engine.do(partial(noted, "feed-backload", f"{name} {asked.times}", asked.reason, micros(clock.now())))
    with Progress("backload", "studies") as progress:
        while queued := await engine.do(partial(queue_backload, span, micros(clock.now()), BATCH)):
            studies, reports = studies + queued[0], reports + queued[1]
            progress(studies, would.studies)
            if queued[0] < BATCH:
                break
    seconds = studies * span.apart // _SECOND
    return Backloaded(name, reports, studies, rate, seconds, await undated(engine, name))
