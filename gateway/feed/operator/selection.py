"""Select the studies to send again: by study id, report id, signing time, dead letters, or missing reports.

Carries out no clause of a standard; decision D35.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from gateway.feed.fate import fate_of, fate_place, is_lacking
from gateway.feed.operator.arguments import EVER, TimeSpan, wrong
from gateway.routing import Destination
from gateway.store.database.engine import Engine
from gateway.store.database.locks import REVISION
from gateway.store.feed.ledger import dead_letters, report_records
from gateway.store.feed.outbox import BEHIND, USUAL, signed_within, study_of

Studies: TypeAlias = dict[str, frozenset[str] | None]
_BATCH: Final = 500
_REMEDY: Final = "Write one of --study ID, --report ID, --from and --to, --dead-letters; or --missing."


@dataclass(frozen=True, slots=True)
class ChosenStudies:
    """Studies chosen by exactly one criterion; with `missing`, only the reports that the destination lacks."""

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
        """Priority of the messages: after all newer messages if there may be many."""
        return USUAL if self.study_id or self.report_id else BEHIND

    async def studies(self, engine: Engine, destination: Destination) -> Studies:
        """Return the ids of the studies, each with the ids of the reports meant; None means all signed reports.

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
    """Return the reports that are open in the certificate and that nothing is about to send."""
    lacking_by_study: Studies = {}
    ids, place = iter(sorted(studies)), fate_place(destination)
    while batch := list(islice(ids, _BATCH)):
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
