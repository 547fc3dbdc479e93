"""What a destination that is new, or that now takes more, is to be told of what was taken in before it was there.

Carries out no clause of a standard; decision D31. What was signed before its start stands in the ledger as that, so
that of every signed report and every destination it can be said what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, cast

from gateway import clock
from gateway.computing import computed
from gateway.destinations import Destination, Routes
from gateway.errors import StoreError, StoreUnavailable
from gateway.log import get_logger
from gateway.pipeline.telling import telling
from gateway.store import facts, intake
from gateway.store.engine import Engine
from gateway.store.instants import micros
from gateway.store.intake import Outdated
from gateway.store.kept import Kept, kept
from gateway.store.outbox import Outbox, PassedBy, route_later
from gateway.store.statements import Steps, ask
from mappings.changes import Change
from mappings.model import Cause, CauseKind

_MOST_TRIES: Final = 20
_PAUSE: Final = 0.01  # seconds from one page of reports to the next: nothing else waits for it


class CatchingUp:
    """Catches up for one destination."""

    def __init__(self, engine: Engine, destination: Destination) -> None:
        self._engine, self._destination, self._outbox = engine, destination, Outbox(engine)
        self._fact = f"routed:{destination.name}"

    async def once(self) -> int:
        """Route what is stored and the destination has no row of: since it was not there, or took less, when that came.

        Raises:
            StoreUnavailable: the store cannot be reached; it is begun again another time, and adds nothing twice.
        """
        await facts.claimed(self._engine, self._fact, str(await self._outbox.last()))
        added = 0
        async for page in self._outbox.all_untold(self._destination.name):
            for study_id in page:
                added += await self._guarded(study_id, None)
            await clock.sleep(_PAUSE)
        return added

    async def again(self) -> int:
        """Route what happened since and passed the destination by: who took it in had other settings, or older ones.

        Raises:
            StoreUnavailable: the store cannot be reached; it goes on from there another time.
        """
        added, after = 0, int(await facts.claimed(self._engine, self._fact, "0"))
        while True:
            found, last = await self._outbox.passed_by(self._destination.name, after)
            for study_id in dict.fromkeys(one.study_id for one in found):
                added += await self._guarded(study_id, [one for one in found if one.study_id == study_id])
            if last == after:
                return added
            await facts.put(self._engine, self._fact, str(last))
            after = last
            await clock.sleep(_PAUSE)

    async def _guarded(self, study_id: str, missed: Sequence[PassedBy] | None) -> int:
        try:
            return await self._of(study_id, missed)
        except StoreError:
            raise
        except Exception as error:  # a fault of ours in one study holds up no other
            get_logger().error("study-not-routed", study_id=study_id, code="internal", exc_info=error)
            return 0

    async def _of(self, study_id: str, missed: Sequence[PassedBy] | None) -> int:
        for _ in range(_MOST_TRIES):
            untold = await self._outbox.untold(self._destination.name, study_id) if missed is None else ()
            found = await self._engine.fetch(intake.STUDY, study_id=study_id) if untold or missed else ()
            if not found:
                return 0
            revision, _, packed, *_ = found[0]
            told = await self._outbox.told(study_id)
            known = await computed(kept, packed)
            change = _passed_by(known, missed) if missed else _untold(known, untold)
            try:
                return await self._engine.do(partial(self._route, change, told, int(revision)))
            except Outdated:
                continue  # there is news of the study
        raise StoreUnavailable("others wrote the same study again and again")

    def _route(self, change: Change, told: dict[str, set[str]], revision: int) -> Steps[int]:
        """Add the rows of this destination, if the study is as it was."""
        study_id, now = change.study.study_id, micros(clock.now())
        current = yield from ask(intake.REVISION, study_id=study_id)
        if int(current[0][0]) != revision:
            raise Outdated
        rows = telling(change, told, Routes((self._destination,)), now, wants_pdf=False)
        return (yield from route_later(study_id, [row for row in rows if row["destination"]], now))


def _untold(known: Kept, report_ids: Sequence[str]) -> Change:
    """The signatures of these reports."""
    causes = [
        Cause(one.report_id, "addendum_signed" if one.is_addendum else "signed", known.version)
        for one in known.study.completed
        if one.report_id in report_ids
    ]
    return Change(known.study, tuple(causes), version=known.version, gone=known.facts.gone)


def _passed_by(known: Kept, missed: Sequence[PassedBy]) -> Change:
    """What happened, as it was written down for others."""
    causes = {
        (one.report_id, one.content_version): Cause(one.report_id, cast(CauseKind, one.kind), one.content_version)
        for one in missed
    }
    moved = frozenset(one.report_id for one in missed if one.is_move)
    return Change(known.study, tuple(causes.values()), version=known.version, moved=moved, gone=known.facts.gone)
