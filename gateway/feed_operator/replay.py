"""`feed replay`: each study as it is by now is sent once more, with an MSH-10 of its own.

HL7 v2.5.1 §2.15.9.10 (MSH-10 Message Control ID); decisions D31, D35. Who was told of a study is told again; whoever
was not is asked by its filters, and what was signed before its start stays that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Final

from gateway import clock
from gateway.assembly import store_for_command
from gateway.destinations import Destination, ever_in_force, routed
from gateway.feed_operator.arguments import Say, counted, destination_named
from gateway.feed_operator.chosen import Chosen
from gateway.settings import Configuration
from gateway.store import intake
from gateway.store.audit import noted
from gateway.store.engine import Engine
from gateway.store.instants import micros
from gateway.store.kept import Kept, kept
from gateway.store.outbox import Outbox
from gateway.store.resending import Resend, resent, taken
from mappings.dates import parse_instant
from mappings.model import Cause

_BATCH: Final = 100
_NOT_SENT: Final = {
    "before_start": "signed before its start: `feed backload` sends that",
    "unrouted": "left out by its filters",
    "unsigned": "without a signed report",
}


async def replay(configuration: Configuration, name: str, chosen: Chosen, reason: str, say: Say) -> int:
    """Queue what was chosen, as it is by now; 1 if something was chosen and nothing of it is sent.

    Raises:
        ConfigError: no such destination, or what was chosen is not stored.
    """
    destination = destination_named(configuration, name)
    now = micros(clock.now())
    async with store_for_command(configuration) as engine:
        studies = await chosen.studies(engine, name)
        await engine.do(partial(noted, "feed-replay", f"{name} {chosen}", reason, now))
        run = Replay(engine, destination, chosen.priority)
        for study_id, report_ids in studies.items():
            await run.add(study_id, report_ids, now)
        await run.flush(now)
    say(f"{name} is sent {counted(run.reports, 'report')} of {counted(run.studies, 'study')} again, as they are by now")
    for state, count in sorted(run.left.items()):
        say(f"{count} are not sent: {_NOT_SENT[state]}")
    return 1 if studies and not run.reports else 0


class Replay:
    """Queues studies for one destination; counts what is sent, and what is not by the state that is why."""

    def __init__(self, engine: Engine, destination: Destination, priority: int) -> None:
        self._engine, self._destination, self._priority = engine, destination, priority
        self._batch: list[Resend] = []
        self.reports = self.studies = 0
        self.left: Counter[str] = Counter()

    async def add(self, study_id: str, report_ids: Collection[str] | None, now: int) -> None:
        """Have these reports of a study sent, or all that are signed."""
        name = self._destination.name
        found = await self._engine.fetch(intake.STUDY, study_id=study_id)
        if not found:
            return
        known = await asyncio.to_thread(kept, found[0][2])
        told = (await Outbox(self._engine).told(study_id)).get(name, set())
        was_taken = await taken(self._engine, name, study_id)
        resends = self._resends(known, report_ids, told, was_taken)
        self._batch += resends
        self.reports += len(resends)
        self.studies += bool(resends)
        if len(self._batch) >= _BATCH:
            await self.flush(now)

    async def flush(self, now: int) -> None:
        """Write down what was added."""
        if self._batch:
            await self._engine.do(partial(resent, self._destination.name, self._batch, now))
            self._batch = []

    def _resends(
        self, known: Kept, report_ids: Collection[str] | None, told: set[str], was_taken: set[str]
    ) -> list[Resend]:
        study = known.study
        reports = {one.report_id: one for one in study.completed if report_ids is None or one.report_id in report_ids}
        if not reports:
            self.left["unsigned"] += 1
        causes = [Cause(one, "replay", known.version) for one in reports]
        sent = {self._destination.name: told}
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
                    # what was taken once is not urgent again
                    report.is_critical is True and report.report_id not in was_taken,
                    self._priority,
                    micros(signed) if signed else None,
                )
            )
        return made
