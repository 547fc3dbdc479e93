"""Read what is known of the orders of one study, compare it when the study is written, and store the match.

HL7 v2.5.1 §4.5.3.2 (OBR-2), decisions D25, D48. All orders are read that have a number in common with the study, or
with an order that was read, or that the study answers whatever its numbers. The numbers by which they were read are
stored with the study: whoever changes an order finds the study by them, and the next ingest reads by them again.
Proved by tests/contract/test_known_hospital.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask
from gateway.store.orders.keys import is_record, key_text, number_of, number_text, record_text
from gateway.store.orders.known_orders import StoredOrder, orders_by_number, orders_of_keys
from gateway.store.orders.number_changes import StoredChange, changes_of, changes_with
from gateway.store.orders.source_names import under_first_names
from gateway.store.orders.study_keys import OF_STUDY, put_study_keys
from gateway.store.orders.visits import StoredVisit, visits_of
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.groups import order_keys
from mappings.hospital.match import keys_of_group

# Rows of three tables about one study, in one question. A message counts if it was made since the match began; the
# clocks of two processes may differ by a minute
_DECIDED: Final = Statement(
    "SELECT 'match' AS of, verdict, reason, orders, since, sent_orders FROM order_match WHERE study_id = :study_id"
    " UNION ALL SELECT 'decision', verdict, reason, orders, decided, '[]' FROM order_verdict WHERE study_id = :study_id"
    " UNION ALL SELECT 'sent', '', '', '[]', 0, '[]' FROM (SELECT 1 AS one) o"
    " WHERE EXISTS (SELECT 1 FROM message m JOIN order_match s ON s.study_id = m.study_id"
    " WHERE m.study_id = :study_id AND m.made >= s.since - 60000000)"
)
_ANY_SOURCE: Final = Statement("SELECT name FROM source WHERE name >= '' LIMIT 1")
# The same with the revisions of the orders, and the times of the visits, that have these keys
_PRESENT: Final = Statement(
    f"{_DECIDED.sql} UNION ALL SELECT DISTINCT 'order', CAST(h.number AS TEXT), '', '[]', h.revision, '[]'"  # noqa: S608 (constants)
    " FROM order_key k JOIN hospital_order h ON h.number = k.hospital_order WHERE k.key IN listed(:keys)"
    " UNION ALL SELECT 'visit', key, '', '[]', at, '[]' FROM visit WHERE key IN listed(:visits)"
)
_COUNTED: Final = ("order", "visit")
_REVISION: Final = Statement("SELECT number, revision FROM hospital_order WHERE number = :number")
_PUT_MATCH: Final = Statement(
    "INSERT INTO order_match (study_id, verdict, reason, orders, since, sent_orders) VALUES (:study_id, :verdict,"
    " :reason, :orders, :since, :sent_orders) ON CONFLICT (study_id) DO UPDATE SET verdict = excluded.verdict,"
    " reason = excluded.reason, orders = excluded.orders, since = excluded.since, sent_orders = excluded.sent_orders"
)


class StandingVerdict(NamedTuple):
    """Row of `order_match` or `order_verdict`: a verdict, why, about which orders, and since when (microseconds).

    `sent_orders` are those of an earlier match of which a message was made: the study is tied to them.
    """

    verdict: str = ""
    reason: str = ""
    orders: tuple[int, ...] = ()
    since: int = 0
    sent_orders: tuple[int, ...] = ()


NOTHING_DECIDED: Final = StandingVerdict()


class Decided(NamedTuple):
    """All that is decided about a study. `is_sent` is True if a message was made of it since it has this match."""

    match: StandingVerdict
    decision: StandingVerdict
    is_sent: bool

    @property
    def named(self) -> frozenset[int]:
        """Numbers of the orders that are read whatever their keys: those answered, now or before, and those chosen."""
        return frozenset({*self.match.orders, *self.match.sent_orders, *self.decision.orders})


@dataclass(frozen=True, slots=True)
class HospitalState:
    """State of the orders, visits and numbers that one study may concern, as it was read by `keys`.

    `told` are the numbers that the gateway answered to AutoScribe. `match` is the study's last match, and `decision` an
    operator's. `is_sent` is True if a message was made of the study since. `order_days` are the reader's. `is_read` is
    False before anything was read.
    """

    keys: frozenset[str] = frozenset()
    orders: tuple[StoredOrder, ...] = ()
    visits: tuple[StoredVisit, ...] = ()
    changes: tuple[StoredChange, ...] = ()
    told: frozenset[str] = frozenset()
    match: StandingVerdict = NOTHING_DECIDED
    decision: StandingVerdict = NOTHING_DECIDED
    is_sent: bool = False
    order_days: Mapping[str, int] = field(default_factory=dict)
    is_read: bool = True

    @property
    def decided(self) -> Decided:
        """All that is decided about the study."""
        return Decided(self.match, self.decision, self.is_sent)

    @property
    def inputs(self) -> list[Any]:
        """All of it that a match depends on, except the earlier match, as JSON."""
        return [
            [[one.number, one.revision] for one in self.orders],
            [_input(one) for one in self.visits],
            [[one.number, one.held] for one in self.changes],
            [self.decision.verdict, list(self.decision.orders)],
            sorted(self.told),
        ]


@dataclass(frozen=True, slots=True)
class MatchWrite:
    """Match of a study as it is stored, with the numbers by which the study is found."""

    keys: frozenset[str]
    match: StandingVerdict


@dataclass(frozen=True, slots=True)
class OrderReader:
    """Reader of the orders that studies may concern. Its methods raise `StoreUnavailable`.

    `order_days` has, by source, the days for which an order that is closed may still be a study's. `is_expected` is
    False if the settings have no source.
    """

    engine: Engine
    authorities: Authorities
    order_days: Mapping[str, int] = field(default_factory=dict)
    is_expected: bool = True

    async def under_first_names(self) -> OrderReader:
        """Return the reader with the days of each source by its first name, as orders have it."""
        return replace(self, order_days=await under_first_names(self.engine, self.order_days))

    async def is_used(self) -> bool:
        """Return True if a hospital ever sent something: its orders count, also once its source is removed."""
        return bool(await self.engine.fetch(_ANY_SOURCE))

    async def of_study(self, study_id: str, told: frozenset[str]) -> HospitalState:
        """Read by the numbers by which the study looked for its orders at its last ingest."""
        keys = {str(key) for (key,) in await self.engine.fetch(OF_STUDY, study_id=study_id)}
        return await self.by_keys(study_id, keys, told)

    async def by_keys(self, study_id: str, keys: Collection[str], told: frozenset[str]) -> HospitalState:
        """Read the orders of these keys, and those that the study answered or shall answer, with all they need."""
        engine, keys = self.engine, [one for one in keys if not is_record(one)]
        decided = _decided(await engine.fetch(_DECIDED, study_id=study_id))
        named = await orders_by_number(engine, decided.named)
        own = [one for one in keys if number_of(one) is None]
        asked, orders = await connected(engine, own, named, self.authorities)
        numbers = {number for key in keys if (number := number_of(key)) is not None}
        numbers.update(number for one in orders for number in _numbers(one, self.authorities))
        changes = await changes_of(engine, numbers)
        numbers.update(number for one in changes for number in one.change)
        visits = await visits_of(engine, [number_text(one) for one in numbers if one.kind == "visit"])
        records = [record_text(one.number) for one in orders]
        every = frozenset({*keys, *asked, *map(number_text, numbers), *records})
        read = (tuple(orders), tuple(visits), tuple(changes), told)
        return HospitalState(every, *read, *decided, order_days=self.order_days)


async def connected(
    engine: Engine, keys: Iterable[str], orders: Iterable[StoredOrder], authorities: Authorities
) -> tuple[set[str], list[StoredOrder]]:
    """Read orders by their keys, and others by the keys of these, until there are no more; return all keys, too.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = {one.number: one for one in orders}
    asked: set[str] = set()
    wanted = {*keys, *(key for one in found.values() for key in _keys(one, authorities))}
    while wanted:
        read = await orders_of_keys(engine, wanted, found)
        asked |= wanted
        found |= {one.number: one for one in read}
        wanted = {key for one in read for key in _keys(one, authorities)} - asked
    return asked, [found[number] for number in sorted(found)]


def _keys(stored: StoredOrder, authorities: Authorities) -> Iterator[str]:
    yield from map(key_text, order_keys(stored.order, authorities))
    yield from map(key_text, keys_of_group(stored.order, authorities))


def _input(visit: StoredVisit) -> list[Any]:
    """Return what tells a state of a visit from others; whom it is about is said since rows have that."""
    about = sorted(f"{one.value}^{one.authority.namespace}" for one in visit.patient.numbers)
    said = [about, list(visit.refused_by)] if about or visit.refused_by else []
    return [visit.key, visit.at, visit.message.source, visit.message.control_id, *said]


def _numbers(stored: StoredOrder, authorities: Authorities) -> Iterator[HospitalNumber]:
    order = stored.order
    yield from authorities.patient_numbers(order.patient.numbers, order.source)
    visit = authorities.key_of("visit", order.visit.number if order.visit else None, order.source)
    account = authorities.key_of("account", order.patient.account, order.source)
    yield from [one for one in (visit, account) if one]


def is_as_known(state: HospitalState, study_id: str) -> Steps[bool]:
    """Return True if all is as it was read; a step of the transaction that holds the locks of the keys."""
    numbers = {key: number for key in state.keys if (number := number_of(key)) is not None}
    keys = json.dumps(sorted(state.keys - numbers.keys()))
    visits = json.dumps(sorted(key for key, one in numbers.items() if one.kind == "visit"))
    rows = yield from ask(_PRESENT, study_id=study_id, keys=keys, visits=visits)
    decided = _decided([row for row in rows if row[0] not in _COUNTED])
    if decided != state.decided or _counted(rows, "visit") != sorted((one.key, one.at) for one in state.visits):
        return False
    orders = {int(number): revision for number, revision in _counted(rows, "order")}
    for one in sorted(decided.named - orders.keys()):  # one that is named need not have any of the keys
        orders |= {int(number): int(revision) for number, revision in (yield from ask(_REVISION, number=one))}
    if orders != {one.number: one.revision for one in state.orders}:
        return False
    changes = yield from changes_with(numbers.values())
    return [(one.number, one.held) for one in changes] == [(one.number, one.held) for one in state.changes]


def _counted(rows: Iterable[Row], what: str) -> list[tuple[str, int]]:
    """Return the names of orders or visits in the rows of `_PRESENT`, each with its revision or its time."""
    return sorted((str(name), int(count)) for of, name, _, _, count, _ in rows if of == what)


def put_match(study_id: str, write: MatchWrite) -> Steps[None]:
    """Store the match of a study, and the numbers by which it is found, in place of those before."""
    yield from put_study_keys(study_id, write.keys)
    verdict, reason, orders, since, sent = write.match
    values = {"verdict": verdict, "reason": reason, "orders": json.dumps(orders), "since": since}
    values["sent_orders"] = json.dumps(sent)
    yield from ask(_PUT_MATCH, study_id=study_id, **values)


def _decided(rows: Iterable[Row]) -> Decided:
    found = {
        str(of): StandingVerdict(str(verdict), str(reason), _numbers_in(orders), int(since), _numbers_in(sent or "[]"))
        for of, verdict, reason, orders, since, sent in rows
    }
    match, decision = [found.get(of, NOTHING_DECIDED) for of in ("match", "decision")]
    return Decided(match, decision, "sent" in found)


def _numbers_in(orders: Any) -> tuple[int, ...]:
    return tuple([int(number) for number in json.loads(str(orders))])
