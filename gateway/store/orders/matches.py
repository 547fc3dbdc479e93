"""Read the matches of studies with orders, and store an operator's decision about one.

Carries out no clause of a standard; decision D48. The match of a study is stored by its ingest. A decision moves the
study's revision on, so that an ingest that runs right now begins again, and requests a new one.
Proved by tests/contract/test_order_matches.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from gateway.store.database import locks
from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, storable
from gateway.store.database.facts import ASK, noted
from gateway.store.orders.hospital import order_of
from gateway.store.orders.numbers import add_study_keys, lock_names, record_text
from mappings.hospital.match import Verdict

DecidedAs = Literal["match", "release"]
_AT_A_TIME: Final = 500
_OF_STUDIES: Final = Statement(
    "SELECT study_id, verdict, reason, orders, since FROM order_match WHERE study_id IN listed(:study_ids)"
    " ORDER BY study_id"
)
_WITH_VERDICT: Final = Statement(
    "SELECT study_id, verdict, reason, orders, since FROM order_match WHERE verdict = :verdict AND since >= :since"
    " AND (since > :since OR study_id > :after) ORDER BY since, study_id LIMIT :most"
)
_DECISION: Final = Statement(
    "SELECT study_id, verdict, orders, reason, decided FROM order_verdict WHERE study_id = :study_id"
)
_STUDIES_OF_ORDER: Final = Statement(
    "SELECT study_id, verdict, reason, orders, since FROM order_match WHERE study_id IN (SELECT s.study_id"
    " FROM order_key o JOIN study_key s ON s.key = o.key WHERE o.hospital_order = :number"
    " UNION SELECT study_id FROM study_key WHERE key = :record) ORDER BY study_id LIMIT :most"
)
_ANSWERED_BY: Final = Statement(
    "SELECT m.orders, m.sent_orders, v.orders FROM study_key k LEFT JOIN order_match m ON m.study_id = k.study_id"
    " LEFT JOIN order_verdict v ON v.study_id = k.study_id"
    " WHERE k.key = :record AND k.study_id NOT IN listed(:study_ids)"
)
# An ingest that runs right now does not know the decision: the new revision makes it start again
_MOVE_ON: Final = Statement("UPDATE study SET revision = revision + 1 WHERE study_id = :study_id RETURNING study_id")
_DECIDE: Final = Statement(
    "INSERT INTO order_verdict (study_id, verdict, orders, reason, decided) VALUES (:study_id, :verdict, :orders,"
    " :reason, :decided) ON CONFLICT (study_id) DO UPDATE SET verdict = excluded.verdict, orders = excluded.orders,"
    " reason = excluded.reason, decided = excluded.decided"
)


UNMATCHED: Final[tuple[Verdict, ...]] = ("held", "refused", "none")
_COUNT: Final = Statement("SELECT count(*) FROM order_match WHERE verdict IN listed(:verdicts)")


@dataclass(frozen=True, slots=True)
class StoredMatch:
    """Match of a study at its last ingest: order numbers in the database, or a reason of `mappings.hospital.match`.

    `since` is when it became so, in microseconds.
    """

    study_id: str
    verdict: Verdict
    reason: str
    orders: tuple[int, ...]
    since: int


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """Decision of an operator: the study answers these orders (`match`), or has no order (`release`)."""

    study_id: str
    decided_as: DecidedAs
    orders: tuple[int, ...]
    reason: str
    at: int


async def matches_of(engine: Engine, study_ids: Sequence[str]) -> dict[str, StoredMatch]:
    """Return the matches of these studies, by study; empty where the settings have no hospital.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_OF_STUDIES, study_ids=json.dumps(list(study_ids)))
    return {one.study_id: one for one in map(_match, rows)}


async def matches_with(engine: Engine, verdict: Verdict, since: int) -> AsyncIterator[StoredMatch]:
    """Yield the matches with that verdict since that instant or later, the oldest first."""
    after = ""
    while rows := await engine.fetch(_WITH_VERDICT, verdict=verdict, since=since, after=after, most=_AT_A_TIME):
        for found in map(_match, rows):
            yield found
            since, after = found.since, found.study_id


async def count_unmatched(engine: Engine) -> int:
    """Count the studies without a match.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return int((await engine.fetch(_COUNT, verdicts=json.dumps(UNMATCHED)))[0][0])


async def decision_of(engine: Engine, study_id: str) -> StoredDecision | None:
    """Return an operator's decision about a study; None if there is none."""
    for _, verdict, orders, reason, decided in await engine.fetch(_DECISION, study_id=study_id):
        return StoredDecision(
            study_id, cast(DecidedAs, str(verdict)), tuple(json.loads(orders)), str(reason), int(decided)
        )
    return None


async def matches_beside(engine: Engine, number: int) -> list[StoredMatch]:
    """Return the matches of up to 500 studies that share a number with an order or have read it."""
    record = record_text(number)
    return [_match(row) for row in await engine.fetch(_STUDIES_OF_ORDER, number=number, record=record, most=_AT_A_TIME)]


def is_answered(number: int, listed: str = "[]") -> Steps[bool]:
    """Return True if a study not among `listed` (JSON) answers that order, or ever did in a message."""
    rows = yield from ask(_ANSWERED_BY, record=record_text(number), study_ids=listed)
    return any(number in json.loads(orders or "[]") for row in rows for orders in row)


def decide(decision: StoredDecision) -> Steps[bool]:
    """Store a decision in place of any earlier one, and request a new ingest; False if there is no such study.

    That is so if no such study is stored, or an order of the decision was deleted meanwhile. From now on none is.
    """
    study_id = decision.study_id
    records = [record_text(number) for number in decision.orders]
    yield from locks.take({locks.study(study_id), *lock_names(records)})
    for number in decision.orders:
        if (yield from order_of(number)) is None:
            return False
    if not (yield from ask(_MOVE_ON, study_id=study_id)):
        return False
    values = {"verdict": decision.decided_as, "orders": json.dumps(decision.orders), "decided": decision.at}
    yield from ask(_DECIDE, study_id=study_id, reason=storable(decision.reason), **values)
    yield from add_study_keys(study_id, records)
    orders = " ".join(f"order {number}" for number in decision.orders)
    yield from noted(f"orders-{decision.decided_as}", f"{study_id} {orders}".rstrip(), decision.reason, decision.at)
    yield from ask(ASK, verb="refresh", argument=study_id, asked=decision.at)
    return True


def _match(row: Row) -> StoredMatch:
    study_id, verdict, reason, orders, since = row
    numbers = tuple(map(int, json.loads(orders or "[]")))
    return StoredMatch(str(study_id), cast(Verdict, str(verdict)), str(reason), numbers, int(since))
