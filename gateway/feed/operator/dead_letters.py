"""`feed dead-letters`: list messages given up for good, with the reason and the broken rule of the receiver profile.

Carries out no clause of a standard; decisions D9, D32, D34.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.feed.operator.arguments import CommandAnswer, at, counted, destinations_named, json_of
from gateway.routing import Destination
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant
from gateway.store.feed.destinations import known_as
from gateway.store.feed.ledger import DeadLetter
from gateway.store.feed.ledger import dead_letters as given_up

_RULE: Final = "rule-"


@dataclass(frozen=True, slots=True)
class ListedDeadLetter:
    """Dead letter with the rule that its message broke, and the source of the rule; both None if it broke none."""

    destination: str
    report_id: str
    study_id: str
    cause: str
    reason: str
    rule: str | None
    source: str | None
    is_critical: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class DeadLetters(CommandAnswer):
    """Dead letters, oldest first at each destination."""

    letters: tuple[ListedDeadLetter, ...]

    @property
    def document(self) -> Any:
        """The dead letters as a JSON list."""
        return json_of(self.letters)

    def lines(self) -> Iterator[str]:
        """Yield a line for each dead letter, and their number."""
        for letter in self.letters:
            critical = "  CRITICAL" if letter.is_critical else ""
            rule = f"  ({letter.rule}; {letter.source})" if letter.rule else ""
            ids = f"{letter.destination}  {letter.report_id}  {letter.study_id}"
            yield f"{ids}  {letter.reason}{rule}  since {at(letter.since)}{critical}"
        yield counted(len(self.letters), "dead letter")


async def dead_letters(engine: Engine, configuration: Configuration, name: str | None) -> DeadLetters:
    """Return the dead letters of one destination or all.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    return DeadLetters(
        tuple(
            [
                _listed(destination, row)
                for destination in destinations_named(configuration, name, enabled=False)
                for row in await given_up(engine, await known_as(engine, destination.name, destination.formerly))
            ]
        )
    )


def _listed(destination: Destination, letter: DeadLetter) -> ListedDeadLetter:
    rules = {one.name: one for one in destination.receiver.rules}
    rule = rules.get(letter.reason.removeprefix(_RULE)) if letter.reason.startswith(_RULE) else None
    return ListedDeadLetter(
        destination.name,
        letter.report_id,
        letter.study_id,
        letter.kind,
        letter.reason,
        str(rule) if rule else None,
        rule.source if rule else None,
        letter.is_critical,
        instant(letter.since),
    )
