"""Say in an operator's words how a study was matched with orders: verdict, reason, and the reason's sentence.

Carries out no clause of a standard; decision D48. There are ids, codes and instants alone, and nothing of a patient.
Proved by tests/gateway/cli/test_orders.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from gateway.store.database.engine import Engine, instant
from gateway.store.orders.matches import StoredMatch, matches_of
from mappings.hospital.match import REASONS


@dataclass(frozen=True, slots=True)
class OrderMatch:
    """Match of a study in an operator's words; `reason` and its `sentence` are None if orders are answered."""

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
    """Destination at which later messages of a study are held, and the reason."""

    destination: str
    reason: str


def order_match(match: StoredMatch) -> OrderMatch:
    """Return the match of a study with the sentence of its reason."""
    sentence = REASONS[match.reason].sentence if match.reason in REASONS else None
    return OrderMatch(match.verdict, match.reason or None, sentence or None, tuple(match.orders), instant(match.since))


async def order_matches(engine: Engine, study_ids: Collection[str]) -> dict[str, OrderMatch]:
    """Return the matches of these studies; of none where no hospital sends orders.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = await matches_of(engine, list(study_ids))
    return {study_id: order_match(one) for study_id, one in found.items()}
