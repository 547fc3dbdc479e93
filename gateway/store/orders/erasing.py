"""Find and erase what hospitals sent about the patient of erased studies, as steps of the erasure's transaction.

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17, erasure); decisions D48, D49. The orders that the studies
answer go. If no other study describes the patient, everything under the patient's numbers goes, too. A patient number
decides whose an order is. What another study answers stays. So does each number that another study has under any type,
and each that may be anybody's (D11), with all that nothing but this number ties to the patient. Most messages are read
before the transaction, since each is read whole; it reads those that came since, while no source stores another.
Proved by tests/contract/test_erasing_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.orders.inbound import SettledMessage, settle
from gateway.store.orders.keys import number_of, number_text, record_text
from gateway.store.orders.known_orders import StoredOrder, order_of, orders_with
from gateway.store.orders.matches import is_answered
from gateway.store.orders.number_changes import StoredChange, changes_with
from gateway.store.orders.study_keys import refresh_studies
from gateway.store.orders.visits import StoredVisit, drop_states
from mappings.hospital.authorities import PATIENT_TYPES, Authorities, HospitalNumber

ERASED: Final = "erased"
_ANSWERED: Final = Statement(
    "SELECT orders, sent_orders FROM order_match WHERE study_id IN listed(:study_ids)"
    " UNION ALL SELECT orders, '[]' FROM order_verdict WHERE study_id IN listed(:study_ids)"
)
_HAS_KEY: Final = Statement(
    "SELECT study_id FROM study_key WHERE key IN listed(:keys) AND study_id NOT IN listed(:study_ids) LIMIT 1"
)
_KEYS: Final = Statement("SELECT key FROM order_key WHERE hospital_order = :number")
_DROP_ORDER: Final = (
    Statement("DELETE FROM order_key WHERE hospital_order = :number"),
    Statement("DELETE FROM hospital_order WHERE number = :number"),
)
_HAS_ORDER: Final = Statement("SELECT hospital_order FROM order_key WHERE key = :key LIMIT 1")
_DROP_VISIT: Final = Statement("DELETE FROM visit WHERE key = :key")
_DROP_CHANGE: Final = Statement(
    "DELETE FROM number_change WHERE kind = :kind AND authority = :authority AND (prior = :value OR surviving = :value)"
)
_DROP_STUDY_KEYS: Final = Statement("DELETE FROM study_key WHERE key IN listed(:keys)")
_MESSAGES: Final = Statement(
    "SELECT number, body FROM inbound WHERE source = :source AND number > :after AND body IS NOT NULL"
    " ORDER BY number LIMIT :most"
)
_SOURCES: Final = Statement("SELECT name FROM source WHERE name >= '' ORDER BY name")
_HOLD_SOURCES: Final = Statement("SELECT name FROM source WHERE name >= '' ORDER BY name FOR UPDATE")
_STATE: Final = Statement("SELECT state FROM inbound WHERE number = :number")
_DROP_BODY: Final = Statement("UPDATE inbound SET body = NULL WHERE number = :number")
_DROP_MESSAGE_KEYS: Final = Statement("DELETE FROM inbound_key WHERE inbound = :number")
_SETTLED: Final = ("applied", "nothing")
_AT_A_TIME: Final = 100
Whose = Literal["", "patient", "others", "both"]
"""Whose a message is: the patient's; somebody else's, and it names the patient, too; or a merge with groups of both."""


@dataclass(frozen=True, slots=True)
class OrdersToErase:
    """Orders that go, with their `keys`, the patient's `numbers` after merges, and `disputed` merges with others."""

    orders: tuple[StoredOrder, ...]
    keys: frozenset[str]
    numbers: frozenset[HospitalNumber]
    disputed: tuple[StoredChange, ...]


Judge: TypeAlias = Callable[[OrdersToErase, str, bytes], Whose]
"""Tells whose a message of a source is, from its compressed bytes."""


@dataclass(frozen=True, slots=True)
class HospitalErasure:
    """Part of an erasure about hospitals: `numbers` of the patient, none if another study describes the patient.

    `found` are the orders that go, and `messages` whose each message with bytes is, by its number, both as they were
    before the transaction. Of each source the messages up to a number were read. `judge` tells of later ones.
    """

    authorities: Authorities
    numbers: frozenset[HospitalNumber]
    found: OrdersToErase
    judge: Judge
    messages: Mapping[int, Whose]
    read_to: Mapping[str, int]


class HospitalChangedError(Exception):
    """A hospital has said since that other messages are about the patient, too: nothing was erased."""


def orders_to_erase(
    study_ids: Collection[str], numbers: Collection[HospitalNumber], authorities: Authorities
) -> Steps[OrdersToErase]:
    """Return the orders that go with these studies, and with the patient of these numbers; none: the patient stays."""
    listed = json.dumps(sorted(study_ids))
    found = yield from _without_others((yield from _answered(listed)), listed)
    every, before = frozenset((yield from _of_nobody_else(numbers, listed))), frozenset[HospitalNumber]()
    changes = list[StoredChange]()
    while every != before:
        before = every
        changes = yield from changes_with(every)
        found |= yield from _without_others((yield from orders_with(map(number_text, every))), listed)
        pairs = [one.change for one in changes if not one.held and not every.isdisjoint(one.change)]
        merged = [one for pair in pairs for one in pair if not authorities.may_be_anybodys(one)]
        stated = frozenset(merged).union(*[_own_numbers(one, authorities) for one in found.values()])
        every = every.union((yield from _of_nobody_else(stated - every, listed)))
    keys = yield from _keys(found)
    disputed = tuple([one for one in changes if one.held and len(every.intersection(one.change)) == 1])
    return OrdersToErase(tuple(found.values()), frozenset(keys), every, disputed)


def erase_orders(found: OrdersToErase, hospital: HospitalErasure, now: int) -> Steps[int]:
    """Erase orders with what hangs on them, and the bytes of messages; return how many messages are empty or dropped.

    The studies are erased before. Others that read one of the orders are ingested again.

    Raises:
        HospitalChangedError: other orders go, or under other numbers, than when the messages were read.
    """
    if found != hospital.found:
        raise HospitalChangedError
    for statement in _DROP_ORDER:
        yield from ask_each(statement, [{"number": one.number} for one in found.orders])
    visits = yield from _without_orders(found.keys)
    yield from ask_each(_DROP_VISIT, [{"key": number_text(one)} for one in visits])
    yield from drop_states(found.keys, lambda told: not found.numbers.isdisjoint(_whose(told, hospital.authorities)))
    gone = sorted({*visits, *found.numbers})
    pairs = [{"kind": one.kind, "authority": one.authority, "value": one.value} for one in gone]
    yield from ask_each(_DROP_CHANGE, pairs)
    keys = {*map(number_text, found.numbers), *(record_text(one.number) for one in found.orders)}
    yield from refresh_studies(keys, now)
    yield from ask(_DROP_STUDY_KEYS, keys=json.dumps(sorted(keys)))
    messages = {**hospital.messages, **(yield from _later_messages(hospital))}
    return (yield from _erase_messages(messages, now))


async def source_names(engine: Engine) -> list[str]:
    """Return the names of all sources that ever sent something, also those that messages have no more."""
    return [str(name) for (name,) in await engine.fetch(_SOURCES)]


async def study_having(engine: Engine, numbers: Iterable[HospitalNumber]) -> str:
    """Return a study that has one of these numbers, or read orders under it; empty if none does."""
    keys = json.dumps(sorted(map(number_text, numbers)))
    return next((str(study_id) for (study_id,) in await engine.fetch(_HAS_KEY, keys=keys, study_ids="[]")), "")


def messages_with_bytes(source: str, after: int) -> Steps[list[tuple[int, bytes]]]:
    """Return number and compressed bytes of a source's next messages beyond the number `after`.

    Of one source the numbers are in the order of the commits: no message comes later before those that were returned.
    """
    rows = yield from ask(_MESSAGES, source=source, after=after, most=_AT_A_TIME)
    return [(int(number), bytes(body)) for number, body in rows]


def _later_messages(hospital: HospitalErasure) -> Steps[dict[int, Whose]]:
    """Return whose the messages are that came since the others were read; none is stored until the transaction ends."""
    later: dict[int, Whose] = {}
    for (source,) in (yield from ask(_HOLD_SOURCES)):
        after = hospital.read_to.get(str(source), 0)
        while rows := (yield from messages_with_bytes(str(source), after)):
            after = rows[-1][0]
            later |= {number: hospital.judge(hospital.found, str(source), body) for number, body in rows}
    return later


def _erase_messages(messages: Mapping[int, Whose], now: int) -> Steps[int]:
    """Delete the bytes of messages, and settle those about the patient that are not applied; return their number.

    One about somebody else is left until it is applied. A held merge may be tried again, and needs its bytes for that.
    """
    count = 0
    for number, whose in sorted((number, whose) for number, whose in messages.items() if whose):
        state = next((str(state) for (state,) in (yield from ask(_STATE, number=number))), "")
        if state in _SETTLED or (state == "held" and whose == "others"):
            yield from ask(_DROP_BODY, number=number)
        elif state and whose == "patient":
            yield from settle({number: SettledMessage("nothing", ERASED, keeps_body=False)}, now)
            yield from ask(_DROP_MESSAGE_KEYS, number=number)
        else:
            continue
        count += 1
    return count


def _answered(listed: str) -> Steps[list[StoredOrder]]:
    """Return the orders that the studies answer, ever answered in a message, or were given by an operator."""
    numbers = {one for row in (yield from ask(_ANSWERED, study_ids=listed)) for one in _numbers_in(row)}
    found = []
    for number in sorted(numbers):
        if (stored := (yield from order_of(number))) is not None:
            found += [stored]
    return found


def _keys(numbers: Iterable[int]) -> Steps[set[str]]:
    found = set[str]()
    for number in numbers:
        found.update([str(key) for (key,) in (yield from ask(_KEYS, number=number))])
    return found


def _without_others(orders: Iterable[StoredOrder], listed: str) -> Steps[dict[int, StoredOrder]]:
    """Return, by their numbers, the orders that no other study answers."""
    found = {}
    for one in orders:
        if not (yield from is_answered(one.number, listed)):
            found[one.number] = one
    return found


def _without_orders(keys: Iterable[str]) -> Steps[list[HospitalNumber]]:
    """Return the visits of these keys of which no order is left."""
    found = []
    for key in sorted(keys):
        number = number_of(key)
        if number and number.kind != "patient" and not (yield from ask(_HAS_ORDER, key=key)):
            found += [number]
    return found


def _of_nobody_else(numbers: Iterable[HospitalNumber], listed: str) -> Steps[list[HospitalNumber]]:
    """Return the numbers that no other study has, under whichever type, nor read with its orders."""
    found = []
    for one in sorted(numbers):
        types = PATIENT_TYPES if one.kind == "patient" else {one.type_code}
        keys = json.dumps(sorted({number_text(one), *(number_text(one._replace(type_code=code)) for code in types)}))
        if not (yield from ask(_HAS_KEY, keys=keys, study_ids=listed)):
            found += [one]
    return found


def _whose(told: StoredVisit, authorities: Authorities) -> frozenset[HospitalNumber]:
    return frozenset(authorities.own_numbers(told.patient.numbers, told.source))


def _own_numbers(stored: StoredOrder, authorities: Authorities) -> frozenset[HospitalNumber]:
    return frozenset(authorities.own_numbers(stored.order.patient.numbers, stored.order.source))


def _numbers_in(row: Sequence[str | None]) -> set[int]:
    return {int(number) for orders in row for number in json.loads(orders or "[]")}
