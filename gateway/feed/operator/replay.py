"""`feed replay`: send studies again in their current state, each message with a new MSH-10.

HL7 v2.5.1 §2.15.9.10 (MSH-10 Message Control ID); decisions D31, D35. A destination that was sent a study gets it
again. For other studies its filters decide, and reports signed before its start are not sent.
Proved by tests/gateway/cli/test_feed.py and tests/faults/test_queue_faults.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.feed.operator.arguments import CommandAnswer, counted, destination_named
from gateway.feed.operator.preview import Foreseen
from gateway.feed.operator.selection import ChosenStudies, Studies
from gateway.routing import Destination, ever_in_force, routed
from gateway.runtime import clock
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, micros
from gateway.store.database.kept import Kept, kept
from gateway.store.database.operator_acts import noted
from gateway.store.feed.outbox import Resend, ToSend, accepted_reports, queue_replays
from gateway.store.known_study import STUDY, told
from mappings.model import Cause
from mappings.values.dates import parse_instant

_BATCH: Final = 100
_NOT_SENT: Final = {
    "before_start": "signed before its start: `feed backload` sends that",
    "unrouted": "left out by its filters",
    "unsigned": "without a signed report",
}


@dataclass(frozen=True, slots=True)
class Replayed(CommandAnswer):
    """Replay to a destination: what is sent, and the reports that are `left` by the reason; `chosen` counts studies."""

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
    run = await _run(replay, await chosen.studies(engine, destination), micros(clock.now()))
    return Foreseen(run.found, tuple(_left_lines(run.left)))


async def replay(
    engine: Engine, configuration: Configuration, name: str, chosen: ChosenStudies, reason: str
) -> Replayed:
    """Queue the chosen studies in their current state.

    Raises:
        ConfigError: no such destination, or the chosen study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    destination, now = destination_named(configuration, name), micros(clock.now())
    studies = await chosen.studies(engine, destination)
    await engine.do(partial(noted, "feed-replay", f"{name} {chosen}", reason, now))
    run = await _run(Replay(engine, destination, chosen.priority), studies, now)
    return Replayed(name, len(studies), run.found, run.left)


async def _run(run: Replay, studies: Studies, now: int) -> Replay:
    """Add all studies to a replay, with a progress display."""
    with Progress("replay", "studies") as progress:
        for done, (study_id, report_ids) in enumerate(studies.items()):
            progress(done, len(studies))
            await run.add(study_id, report_ids, now)
        await run.flush(now)
    return run


def _left_lines(left: Mapping[str, int]) -> Iterator[str]:
    for state, count in sorted(left.items()):
        yield f"{count} are not sent: {_NOT_SENT[state]}"


class Replay:
    """Replay of studies to one destination; counts the messages sent, and the reports not sent by their reason.

    With `writes=False` it only counts.
    """

    def __init__(self, engine: Engine, destination: Destination, priority: int, *, writes: bool = True) -> None:
        self._engine, self._destination, self._priority, self._writes = engine, destination, priority, writes
        self._batch: list[Resend] = []
        self.found = ToSend()
        self.left: Counter[str] = Counter()

    async def add(self, study_id: str, report_ids: Collection[str] | None, now: int) -> None:
        """Queue the given reports of a study again, or all its signed reports."""
        name = self._destination.name
        rows = await self._engine.fetch(STUDY, study_id=study_id)
        if not rows:
            return
        known = await asyncio.to_thread(kept, rows[0][2])
        already = (await told(self._engine, study_id)).get(name, set())
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
        """Count the messages that a study adds; with whole messages, one carries all its reports (D19)."""
        wanted = {one.report_id for one in resends}
        critical = sum(one.is_critical is True for one in known.study.completed if one.report_id in wanted)
        signed = [one.signed for one in resends if one.signed is not None]
        moments = min(signed, default=None), max(signed, default=None)
        messages = min(len(resends), 1) if self._destination.receiver.addendum == "replace" else len(resends)
        self.found += ToSend(messages, critical, *moments, len(resends), min(len(resends), 1))

    def _resends(
        self, known: Kept, report_ids: Collection[str] | None, already: set[str], was_taken: set[str]
    ) -> list[Resend]:
        """Return the outbox rows for the reports of a study, and count the reports that are not sent."""
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
