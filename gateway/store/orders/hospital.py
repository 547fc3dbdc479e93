"""Store a hospital's orders and visits, and read all of them that one study may concern.

Carries out no clause of a standard; decision D48.
Proved by tests/contract/test_known_hospital.py and tests/contract/test_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each, micros
from gateway.store.database.facts import claimed, put, value_of
from gateway.store.database.kept import compressed, encoded, rebuilt, unpacked
from gateway.store.orders.inbound import under_first_names
from gateway.store.orders.numbers import (
    OF_STUDY,
    StoredChange,
    changes_of,
    changes_with,
    is_key,
    is_record,
    key_text,
    number_of,
    number_text,
    put_study_keys,
    record_text,
)
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import HospitalPatient, Visit
from mappings.hospital.groups import order_keys
from mappings.hospital.known_order import NO_AGE, KnownOrder, MessageAge
from mappings.hospital.match import keys_of_group
from mappings.model import HospitalMessageName

_OF_KEYS: Final = Statement(
    "SELECT DISTINCT o.number, o.revision, o.body FROM order_key k JOIN hospital_order o ON o.number = k.hospital_order"
    " WHERE k.key IN listed(:keys) ORDER BY o.number"
)
_WITH_KEYS: Final = Statement(
    "SELECT k.key, o.number, o.revision, o.body FROM order_key k JOIN hospital_order o ON o.number = k.hospital_order"
    " WHERE k.key IN listed(:keys)"
)
_TEXTS: Final = Statement(
    "SELECT DISTINCT o.hospital_order, o.key FROM order_key k JOIN order_key o ON o.hospital_order = k.hospital_order"
    " WHERE k.key IN listed(:keys)"
)
_BY_NUMBER: Final = Statement("SELECT number, revision, body FROM hospital_order WHERE number = :number")
_ADD_ORDER: Final = Statement(
    "INSERT INTO hospital_order (source, revision, first_at, last_at, applied, body)"
    " VALUES (:source, 1, :first_at, :last_at, :applied, :body) RETURNING number"
)
_CHANGE: Final = Statement(
    "UPDATE hospital_order SET source = :source, revision = revision + 1, first_at = :first_at, last_at = :last_at,"
    " applied = :applied, body = :body WHERE number = :number"
)
_RENUMBER: Final = Statement("UPDATE hospital_order SET revision = revision + 1, body = :body WHERE number = :number")
_DROP_KEYS: Final = Statement("DELETE FROM order_key WHERE hospital_order = :number AND key NOT IN listed(:keys)")
_ADD_KEY: Final = Statement("INSERT INTO order_key (key, hospital_order) VALUES (:key, :number) ON CONFLICT DO NOTHING")


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """Order with its number in the database. `revision` counts its changes."""

    number: int
    revision: int
    order: KnownOrder


async def orders_of_keys(
    engine: Engine, keys: Iterable[str], known: Mapping[int, StoredOrder] | None = None
) -> list[StoredOrder]:
    """Return the orders found under one of these keys (`key_text`, `number_text`), by their number in the database.

    Those of `known`, orders by number that were read before, are not decoded again if they are the same.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows, before = await engine.fetch(_OF_KEYS, keys=json.dumps(sorted(keys))), known or {}
    found = [(row, before.get(int(row[0]))) for row in rows]
    return [one if one is not None and one.revision == int(row[1]) else _order(row) for row, one in found]


def orders_with(keys: Iterable[str]) -> Steps[list[StoredOrder]]:
    """Return the orders found under one of these keys, within a transaction."""
    return [_order(row) for row in (yield from ask(_OF_KEYS, keys=json.dumps(sorted(keys))))]


class OrdersAtHand:
    """Orders that one transaction may change, read in one step by all the keys that it will look up."""

    def __init__(self) -> None:
        self._orders: dict[int, KnownOrder] = {}
        self._keys: dict[int, set[str]] = {}

    def read(self, keys: Iterable[str]) -> Steps[None]:
        """Read all orders found under one of these keys."""
        for key, *row in (yield from ask(_WITH_KEYS, keys=json.dumps(sorted(keys)))):
            number = int(row[0])
            if number not in self._orders:
                self._orders[number] = _order(row).order
            self._keys.setdefault(number, set()).add(str(key))

    def having(self, keys: Collection[str]) -> list[tuple[int, KnownOrder]]:
        """Return the orders, read before, that now have one of these keys; by their number in the database."""
        return [(number, self._orders[number]) for number in sorted(self._keys) if self._keys[number] & set(keys)]

    def put(self, number: int | None, order: KnownOrder, keys: Sequence[str], now: int) -> Steps[int]:
        """Store an order as `put_order` does, and remember it with its new keys."""
        number = yield from put_order(number, order, keys, now)
        self._orders[number], self._keys[number] = order, set(keys)
        return number


async def texts_of_orders(engine: Engine, keys: Iterable[str]) -> frozenset[str]:
    """Return the texts by which studies look up the orders that have one of these keys (`key_text`, `record_text`).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = [(int(order), str(key)) for order, key in await engine.fetch(_TEXTS, keys=json.dumps(sorted(keys)))]
    return frozenset([record_text(order) for order, _ in rows] + [key for _, key in rows if is_key(key)])


def order_of(number: int) -> Steps[StoredOrder | None]:
    """Return the order with that number in the database, within a transaction; None if there is none."""
    rows = yield from ask(_BY_NUMBER, number=number)
    return _order(rows[0]) if rows else None


async def orders_by_number(engine: Engine, numbers: Iterable[int]) -> list[StoredOrder]:
    """Return the stored orders among those with these numbers in the database.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = [await engine.fetch(_BY_NUMBER, number=number) for number in sorted(set(numbers))]
    return [_order(row) for rows in found for row in rows]


def put_order(number: int | None, order: KnownOrder, keys: Sequence[str], now: int) -> Steps[int]:
    """Store an order, new (`number` is None) or changed, with its keys; return its number in the database."""
    values = {
        "source": order.source.name,
        "first_at": micros(order.first_at),
        "last_at": micros(order.last_at),
        "applied": now,
        "body": _order_body(order),
    }
    if number is None:
        number = int((yield from ask(_ADD_ORDER, **values))[0][0])
        yield from _add_keys(number, keys)
    else:
        yield from ask(_CHANGE, number=number, **values)
        yield from put_order_keys(number, keys)
    return number


def renumber_order(number: int, order: KnownOrder) -> Steps[None]:
    """Store an order whose numbers now have other authorities; the time it was last heard of stays."""
    yield from ask(_RENUMBER, number=number, body=_order_body(order))


def put_order_keys(number: int, keys: Sequence[str]) -> Steps[None]:
    """Replace the keys of an order."""
    yield from ask(_DROP_KEYS, number=number, keys=json.dumps(keys))
    yield from _add_keys(number, keys)


def _add_keys(number: int, keys: Sequence[str]) -> Steps[None]:
    yield from ask_each(_ADD_KEY, [{"key": key, "number": number} for key in sorted(set(keys))])


def _order_body(order: KnownOrder) -> bytes:
    return compressed("order", encoded(order))


def _order(row: Row) -> StoredOrder:
    number, revision, body = row
    return StoredOrder(int(number), int(revision), rebuilt(KnownOrder, unpacked(bytes(body))))


_ADD_VISIT: Final = Statement(
    "INSERT INTO visit (key, at, inbound, body) VALUES (:key, :at, :inbound, :body) ON CONFLICT DO NOTHING"
)
_MOVE: Final = Statement(
    "UPDATE visit SET key = :now, body = :body WHERE key = :key AND at = :at AND inbound = :inbound"
)
_WITH_MESSAGE: Final = Statement(
    "SELECT key, at, body, inbound FROM visit WHERE key IN listed(:keys) ORDER BY key, at, inbound"
)
_DROP: Final = Statement("DELETE FROM visit WHERE key = :key AND at = :at AND inbound = :inbound")
_OF: Final = Statement("SELECT key, at, body FROM visit WHERE key IN listed(:keys) ORDER BY key, at, inbound")


_NO_PATIENT: Final = HospitalPatient()
_NO_SOURCE: Final = OrderSource("")


@dataclass(frozen=True, slots=True)
class _Stated:
    """Content of a visit's row, as JSON."""

    visit: Visit
    message: HospitalMessageName
    age: MessageAge = NO_AGE
    patient: HospitalPatient = _NO_PATIENT
    source: OrderSource = _NO_SOURCE
    refused_by: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredVisit:
    """State of a visit as one message gave it. `at` is the time of the event (microseconds), `age` that of the message.

    `patient` is the message's, with the source of its numbers. `refused_by` are the
    orders of the visit, by number, if the message is about the patient of none: the row then has no more than the names
    of message and visit.
    """

    key: str
    at: int
    visit: Visit
    message: HospitalMessageName
    age: MessageAge = NO_AGE
    patient: HospitalPatient = _NO_PATIENT
    source: OrderSource = _NO_SOURCE
    refused_by: tuple[int, ...] = ()

    def refused(self, by: Iterable[int]) -> StoredVisit:
        """Return the state without the message's data, which belongs to another patient than the orders `by`."""
        return replace(self, visit=Visit(number=self.visit.number), patient=_NO_PATIENT, refused_by=tuple(by))


def add_visits(visits: Iterable[tuple[int, StoredVisit]]) -> Steps[None]:
    """Store visit states, each with the number of its message."""
    yield from ask_each(
        _ADD_VISIT,
        [{"key": one.key, "at": one.at, "inbound": number, "body": _visit_body(one)} for number, one in visits],
    )


def moved_visit(key: str, at: int, inbound: int, now: StoredVisit) -> Steps[None]:
    """Replace a visit state by the same state read anew under another visit number."""
    yield from ask(_MOVE, key=key, at=at, inbound=inbound, now=now.key, body=_visit_body(now))


def drop_states(keys: Iterable[str], is_gone: Callable[[StoredVisit], bool]) -> Steps[None]:
    """Delete those states of these visits for which `is_gone` is true."""
    rows = yield from ask(_WITH_MESSAGE, keys=json.dumps(sorted(keys)))
    gone = [row for row in rows if is_gone(stored_visit(row[:3]))]
    yield from ask_each(_DROP, [{"key": key, "at": at, "inbound": inbound} for key, at, _, inbound in gone])


async def visits_of(engine: Engine, keys: Iterable[str]) -> list[StoredVisit]:
    """Return the states of these visits; of one visit by the time of the event, then in order of arrival.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    listed = sorted(set(keys))
    return [stored_visit(row) for row in await engine.fetch(_OF, keys=json.dumps(listed))] if listed else []


def _visit_body(visit: StoredVisit) -> bytes:
    stated = _Stated(visit.visit, visit.message, visit.age, visit.patient, visit.source, visit.refused_by)
    return compressed("visit", encoded(stated))


def stored_visit(row: Row) -> StoredVisit:
    """Build a visit state from a row of key, instant and content."""
    key, at, body = row
    stated = rebuilt(_Stated, unpacked(bytes(body)))
    known = (stated.visit, stated.message, stated.age, stated.patient, stated.source, stated.refused_by)
    return StoredVisit(str(key), int(at), *known)


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
    """Verdict of the matching or of an operator: reason, orders, and since when (microseconds).

    `sent_orders` are those of an earlier match of which a message was made: the study is tied to them.
    """

    verdict: str = ""
    reason: str = ""
    orders: tuple[int, ...] = ()
    since: int = 0
    sent_orders: tuple[int, ...] = ()


NOTHING_DECIDED: Final = StandingVerdict()


class Decided(NamedTuple):
    """All decisions about a study's orders. `is_sent` is True if a message was composed since the present match."""

    match: StandingVerdict
    decision: StandingVerdict
    is_sent: bool

    @property
    def named(self) -> frozenset[int]:
        """Numbers (in the database) of the orders to read whatever their keys: matched now or before, or chosen."""
        return frozenset({*self.match.orders, *self.match.sent_orders, *self.decision.orders})


@dataclass(frozen=True, slots=True)
class HospitalState:
    """Orders, visits and number changes that one study may concern, as read by `keys`.

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
        """All decisions about the study's orders."""
        return Decided(self.match, self.decision, self.is_sent)

    @property
    def inputs(self) -> list[Any]:
        """Everything that a match depends on, except the earlier match, as JSON."""
        return [
            [[one.number, one.revision] for one in self.orders],
            [_input(one) for one in self.visits],
            [[one.number, one.held] for one in self.changes],
            [self.decision.verdict, list(self.decision.orders)],
            sorted(self.told),
        ]


@dataclass(frozen=True, slots=True)
class MatchWrite:
    """Match of a study to store, with the numbers by which the study is found."""

    keys: frozenset[str]
    match: StandingVerdict


@dataclass(frozen=True, slots=True)
class OrderReader:
    """Reader of the orders that a study may concern. Its methods raise `StoreUnavailable`.

    `order_days` has, by source, the days for which an order that is closed may still be a study's. `is_expected` is
    False if the settings have no source.
    """

    engine: Engine
    authorities: Authorities
    order_days: Mapping[str, int] = field(default_factory=dict)
    is_expected: bool = True

    async def under_first_names(self) -> OrderReader:
        """Return the reader with `order_days` keyed by the first name of each source, as stored orders have it."""
        return replace(self, order_days=await under_first_names(self.engine, self.order_days))

    async def is_used(self) -> bool:
        """Return True if a hospital ever sent something; its orders count even after its source is removed."""
        return bool(await self.engine.fetch(_ANY_SOURCE))

    async def of_study(self, study_id: str, told: frozenset[str]) -> HospitalState:
        """Read the orders under the numbers that the study looked for at its last ingest."""
        keys = {str(key) for (key,) in await self.engine.fetch(OF_STUDY, study_id=study_id)}
        return await self.by_keys(study_id, keys, told)

    async def by_keys(self, study_id: str, keys: Collection[str], told: frozenset[str]) -> HospitalState:
        """Read the orders of these keys, those matched or chosen for the study, and their visits and number changes."""
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
    """Read orders by their keys, then others that share a key with these, and so on; return all keys, too.

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
    """Return what identifies a visit state: its key, time, message, and patient numbers."""
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
    """Return True if nothing changed since the state was read; run it in the transaction that holds the keys' locks."""
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
    """Return the orders (or visits) in the rows of `_PRESENT`, each with its revision (or time)."""
    return sorted((str(name), int(count)) for of, name, _, _, count, _ in rows if of == what)


def put_match(study_id: str, write: MatchWrite) -> Steps[None]:
    """Replace the match of a study, and the numbers by which the study is found."""
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


_AFTER: Final = Statement("SELECT number FROM hospital_order WHERE number > :after ORDER BY number LIMIT :most")
_KEYS: Final = Statement("SELECT key FROM order_key WHERE hospital_order = :number")


_LEFT: Final = "order-merges-left"


async def put_left_merges(engine: Engine, count: int, now: int) -> None:
    """Store how many merges could not be read again, and when (microseconds).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    value = f"{count} {now}"
    await claimed(engine, _LEFT, value)
    await put(engine, _LEFT, value)


async def left_merges(engine: Engine, since: int) -> int:
    """Return how many merges could not be read again, if counted at that instant or later; else 0."""
    count, _, at = (await value_of(engine, _LEFT) or "0 0").partition(" ")
    return int(count) if int(at) >= since else 0


async def order_numbers(engine: Engine, after: int, most: int) -> list[int]:
    """Return the next orders after the number `after`, by their numbers in the database.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [int(number) for (number,) in await engine.fetch(_AFTER, after=after, most=most)]


def rekey(
    numbers: Collection[int],
    read_anew: Callable[[KnownOrder], KnownOrder],
    keys_of: Callable[[KnownOrder], Collection[str]],
    locked: frozenset[str],
) -> Steps[frozenset[str]]:
    """Rewrite orders with the authorities that `read_anew` gives their numbers, under the keys from `keys_of`.

    Return all keys that those have that changed, before and after. If `locked` lacks one of these, nothing is written:
    the caller locks them and asks again.
    """
    changed: list[tuple[StoredOrder, KnownOrder, frozenset[str]]] = []
    concerned = frozenset[str]()
    for number in sorted(numbers):
        stored = yield from order_of(number)
        if stored is None:
            continue
        order = read_anew(stored.order)
        before = {str(key) for (key,) in (yield from ask(_KEYS, number=number))}
        after = frozenset(keys_of(order))
        if before != after or order != stored.order:
            changed.append((stored, order, after))
            concerned |= before | after
    if concerned <= locked:
        for stored, order, keys in changed:
            if order != stored.order:
                yield from renumber_order(stored.number, order)
            yield from put_order_keys(stored.number, sorted(keys))
    return concerned
