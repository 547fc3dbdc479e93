"""Which studies an operator wants sent again: one, that of a report, those signed in a span, those of dead letters.

Carries out no clause of a standard; decision D35.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.feed_operator.arguments import Span, wrong
from gateway.store import intake
from gateway.store.engine import Engine
from gateway.store.ledger import dead_letters
from gateway.store.resending import BEHIND, USUAL, signed_within, study_of

_REMEDY: Final = "Write one of --study ID, --report ID, --from and --to, --dead-letters."


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was asked for: exactly one of these."""

    study_id: str | None = None
    report_id: str | None = None
    span: Span | None = None
    dead_letters: bool = False

    def __post_init__(self) -> None:
        given = (self.study_id, self.report_id, self.span, self.dead_letters or None)
        count = sum(one is not None for one in given)
        if count != 1:
            raise wrong("--study", "nothing is chosen" if not count else "more than one thing is chosen", _REMEDY)

    def __str__(self) -> str:
        one = self.study_id or self.report_id or (str(self.span) if self.span else "dead letters")
        return str(one)

    @property
    def priority(self) -> int:
        """That of the messages: what may be many goes behind all that is new."""
        return USUAL if self.study_id or self.report_id else BEHIND

    async def studies(self, engine: Engine, destination: str) -> dict[str, frozenset[str] | None]:
        """The ids of the studies, each with those of its reports that are meant; None: all that are signed.

        Raises:
            ConfigError: the study or the report is not stored.
        """
        if self.study_id is not None:
            if not await engine.fetch(intake.REVISION, study_id=self.study_id):
                raise wrong(self.study_id, "no such study is stored", "`sync` takes in all that AutoScribe lists.")
            return {self.study_id: None}
        if self.report_id is not None:
            study_id = await study_of(engine, self.report_id)
            if study_id is None:
                raise wrong(self.report_id, "no such report is stored", "`sync` takes in all that AutoScribe lists.")
            return {study_id: frozenset({self.report_id})}
        if self.span is not None:
            return {study_id: None async for _, study_id in signed_within(engine, self.span.since, self.span.until)}
        return {one.study_id: None for one in await dead_letters(engine, destination)}
