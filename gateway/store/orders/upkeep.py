"""Maintain stored hospital data: read it again after rules changed, delete it after its time, erase a patient's.

Carries out no clause of a standard; decisions D41, D48.
Proved by tests/contract/test_erasing_orders.py and tests/contract/test_order_retention.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from gateway.runtime import clock
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Statement, Steps, ask, ask_each
from gateway.store.database.facts import noted
from gateway.store.orders.hospital import (
    StoredOrder,
    StoredVisit,
    drop_states,
    moved_visit,
    order_of,
    orders_with,
    stored_visit,
)
from gateway.store.orders.inbound import SET_ASIDE, SettledMessage, settle
from gateway.store.orders.matches import is_answered
from gateway.store.orders.numbers import (
    StoredChange,
    change_of,
    changes_with,
    held_by,
    lock_names,
    note_held,
    number_of,
    number_text,
    record_text,
    refresh_studies,
)
from mappings.hospital.authorities import PATIENT_TYPES, Authorities, HospitalNumber
from mappings.hospital.groups import ResolvedChange
from mappings.model import HospitalMessageName

_VISIT_KEYS: Final = Statement("SELECT DISTINCT key FROM visit WHERE key > :after ORDER BY key LIMIT :most")
_VISITS: Final = Statement(
    "SELECT key, at, body, inbound FROM visit WHERE key IN listed(:keys) ORDER BY key, at, inbound"
)
_CHANGES: Final = Statement(
    "SELECT kind, authority, type_code, prior, surviving, surviving_text, source, control_id, held, number"
    " FROM number_change WHERE number > :after AND held = '' ORDER BY number LIMIT :most"
)
_IS_KEPT: Final = Statement("SELECT number FROM inbound WHERE number = :number AND body IS NOT NULL")
_IS_USED: Final = Statement("SELECT number FROM number_change WHERE number = :number AND held = ''")
_MERGES: Final = Statement(
    "SELECT number, source, control_id, body FROM inbound WHERE number > :after AND body IS NOT NULL"
    " AND state IN ('applied', 'nothing') AND code <> :set_aside AND structure IN listed(:structures)"
    " ORDER BY number LIMIT :most"
)


async def visit_keys(engine: Engine, after: str, most: int) -> list[str]:
    """Return the next visits after one, each by the key text of its number."""
    return [str(key) for (key,) in await engine.fetch(_VISIT_KEYS, after=after, most=most)]


async def used_changes(engine: Engine, after: int, most: int) -> list[StoredChange]:
    """Return the next used changes of numbers after the change `after`."""
    return [change_of(row) for row in await engine.fetch(_CHANGES, after=after, most=most)]


class KeptMerge(NamedTuple):
    """Applied merge message whose bytes are still stored, compressed; `number` is that of the message."""

    number: int
    name: HospitalMessageName
    body: bytes


async def merge_messages(engine: Engine, structures: Collection[str], after: int, most: int) -> list[KeptMerge]:
    """Return the next applied merge messages with stored bytes, after the message `after`."""
    listed = json.dumps(sorted(structures))
    rows = await engine.fetch(_MERGES, structures=listed, set_aside=SET_ASIDE, after=after, most=most)
    return [
        KeptMerge(int(number), HospitalMessageName(str(source), str(control_id)), bytes(body))
        for number, source, control_id, body in rows
    ]


def reread_visits(
    keys: Collection[str], read_anew: Callable[[StoredVisit], StoredVisit], locked: frozenset[str]
) -> Steps[frozenset[str]]:
    """Rewrite the states of these visits as `read_anew` reads them, under their possibly new numbers.

    Return all keys of those that change, before and after. If `locked` lacks one, nothing is written.
    """
    rows = yield from ask(_VISITS, keys=json.dumps(sorted(keys)))
    pairs = [(row, before := stored_visit(row[:3]), read_anew(before)) for row in rows]
    changed = [(row, now) for row, before, now in pairs if now != before]
    concerned = frozenset(key for row, now in changed for key in (str(row[0]), now.key))
    if concerned <= locked:
        for (key, at, _, inbound), now in changed:
            yield from moved_visit(str(key), int(at), int(inbound), now)
    return concerned


def hold_again(number: int, change: ResolvedChange, reason: str, now: int) -> Steps[None]:
    """Hold a message again for a held change that it brings; an operator can retry it or set it aside."""
    held = yield from held_by(number)
    yield from note_held([*(one.change for one in held), change], number)
    yield from settle({number: SettledMessage("held", reason)}, now)


def is_kept(message: int) -> Steps[bool]:
    """Return True if the message with that number still exists."""
    return bool((yield from ask(_IS_KEPT, number=message)))


def is_used(change: int) -> Steps[bool]:
    """Return True if the change with that number still exists and is used."""
    return bool((yield from ask(_IS_USED, number=change)))


_PAGE: Final = 500
_MESSAGES: Final = Statement(
    "DELETE FROM inbound WHERE number IN (SELECT number FROM inbound WHERE received < :before"
    " AND state IN ('applied', 'nothing') ORDER BY received LIMIT :most) RETURNING number"
)
_UNSETTLED: Final = Statement(
    "DELETE FROM inbound WHERE number IN (SELECT number FROM inbound WHERE state IN ('held', 'failed')"
    " AND state = :state AND settled < :before ORDER BY settled LIMIT :most) RETURNING number"
)
_BODIES: Final = Statement(
    "UPDATE inbound SET body = NULL WHERE number IN (SELECT number FROM inbound WHERE state IN ('held', 'failed')"
    " AND state = 'held' AND settled < :before AND body IS NOT NULL ORDER BY settled LIMIT :most) RETURNING number"
)
_LEFT: Final = Statement(
    "DELETE FROM inbound WHERE number IN (SELECT number FROM inbound WHERE received < :before"
    " AND state NOT IN ('applied', 'nothing', 'held', 'failed') AND source NOT IN listed(:sources)"
    " ORDER BY received LIMIT :most) RETURNING number"
)
_DROP_MESSAGE_KEYS: Final = Statement("DELETE FROM inbound_key WHERE inbound = :number")
# A study's keys have those of its patients, too, which are also the order's: they are no match
_UNMATCHED: Final = (
    "NOT EXISTS (SELECT 1 FROM order_key k JOIN study_key s ON s.key = k.key"
    " WHERE k.hospital_order = hospital_order.number AND SUBSTR(k.key, 1, 7) <> 'patient')"
)
_OLD_ORDERS: Final = Statement(
    f"SELECT applied, number, CASE WHEN {_UNMATCHED} THEN 1 ELSE 0 END FROM hospital_order WHERE applied < :before"  # noqa: S608 (constants)
    " AND (applied, number) > (:applied, :number) ORDER BY applied, number LIMIT :most"
)
_DROP_ORDER: Final = Statement(
    f"DELETE FROM hospital_order WHERE number = :number AND applied < :before AND {_UNMATCHED} RETURNING number"  # noqa: S608 (constants)
)
_DROP_ORDER_KEYS: Final = Statement("DELETE FROM order_key WHERE hospital_order = :number")
_MATCHES: Final = Statement(
    "SELECT study_id, orders, sent_orders FROM order_match WHERE study_id > :after ORDER BY study_id LIMIT :most"
)
_VERDICTS: Final = Statement(
    "SELECT study_id, orders FROM order_verdict WHERE study_id > :after ORDER BY study_id LIMIT :most"
)
_OLD_VISITS: Final = Statement(
    "SELECT key FROM visit WHERE at < :before AND NOT EXISTS"
    " (SELECT 1 FROM order_key k WHERE k.key = visit.key) ORDER BY at LIMIT :most"
)
_DROP_VISIT: Final = Statement("DELETE FROM visit WHERE key = :key")


def purge_messages(before: int, most: int) -> Steps[int]:
    """Delete at most `most` settled messages received before that instant; return how many."""
    return len((yield from ask(_MESSAGES, before=before, most=most)))


def purge_bodies(before: int, most: int) -> Steps[int]:
    """Delete the bytes of at most `most` held messages; return how many."""
    return len((yield from ask(_BODIES, before=before, most=most)))


def purge_unsettled(before: int, most: int, now: int) -> Steps[int]:
    """Delete at most `most` held or failed messages; return how many."""
    rows = list((yield from ask(_UNSETTLED, state="held", before=before, most=most)))
    rows += yield from ask(_UNSETTLED, state="failed", before=before, most=most)
    yield from ask_each(_DROP_MESSAGE_KEYS, [{"number": int(number)} for (number,) in rows])
    yield from _audited("hospital messages that were not applied", len(rows), now)
    return len(rows)


def purge_left(sources: Collection[str], before: int, most: int, now: int) -> Steps[int]:
    """Delete at most `most` waiting messages of sources that are not among these; return how many."""
    count = len((yield from ask(_LEFT, sources=json.dumps(sorted(sources)), before=before, most=most)))
    yield from _audited("hospital messages of sources without settings", count, now)
    return count


class OldOrder(NamedTuple):
    """Order last heard of at `applied` (microseconds); `is_free` if no study has one of its numbers."""

    applied: int
    number: int
    is_free: bool = False


async def old_orders(engine: Engine, before: int, after: OldOrder, most: int) -> list[OldOrder]:
    """Return the next orders after this one that were last heard of before that instant, oldest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    applied, number, _ = after
    rows = await engine.fetch(_OLD_ORDERS, before=before, applied=applied, number=number, most=most)
    return [OldOrder(int(applied), int(number), bool(is_free)) for applied, number, is_free in rows]


async def matched_orders(engine: Engine) -> frozenset[int]:
    """Return the numbers (in the database) of all orders that are matched with studies or chosen by an operator.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found: set[int] = set()
    for statement in (_MATCHES, _VERDICTS):
        after = ""
        while rows := await engine.fetch(statement, after=after, most=_PAGE):
            every = [orders or "[]" for _, *of_study in rows for orders in of_study]
            found.update(number for orders in every for number in _numbers(json.loads(orders)))
            after = str(rows[-1][0])
            await clock.sleep(0)  # SQLite reads on the loop: others have their turn
    return frozenset(found)


def purge_orders(numbers: Collection[int], before: int, now: int) -> Steps[int]:
    """Delete those of these orders that no study answers and that no message named since; return how many."""
    yield from locks.take(lock_names(map(record_text, numbers)))
    count = 0
    for number in numbers:
        if (yield from is_answered(number)):
            continue
        if (yield from ask(_DROP_ORDER, number=number, before=before)):
            yield from ask(_DROP_ORDER_KEYS, number=number)
            count += 1
    yield from _audited("hospital orders without a study", count, now)
    return count


def purge_visits(before: int, most: int, now: int) -> Steps[int]:
    """Delete at most `most` visits without a stored order; return how many."""
    rows = yield from ask(_OLD_VISITS, before=before, most=most)
    keys = sorted({str(key) for (key,) in rows})
    yield from ask_each(_DROP_VISIT, [{"key": key} for key in keys])
    yield from _audited("visits without an order", len(keys), now)
    return len(keys)


def _audited(what: str, count: int, now: int) -> Steps[None]:
    if count:
        yield from noted("orders-deleted", f"{count} {what}", "retention", now)


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)


ERASED: Final = "erased"
_ANSWERED: Final = Statement(
    "SELECT orders, sent_orders FROM order_match WHERE study_id IN listed(:study_ids)"
    " UNION ALL SELECT orders, '[]' FROM order_verdict WHERE study_id IN listed(:study_ids)"
)
_HAS_KEY: Final = Statement(
    "SELECT study_id FROM study_key WHERE key IN listed(:keys) AND study_id NOT IN listed(:study_ids) LIMIT 1"
)
_KEYS: Final = Statement("SELECT key FROM order_key WHERE hospital_order = :number")
_ERASE_ORDER: Final = (
    Statement("DELETE FROM order_key WHERE hospital_order = :number"),
    Statement("DELETE FROM hospital_order WHERE number = :number"),
)
_HAS_ORDER: Final = Statement("SELECT hospital_order FROM order_key WHERE key = :key LIMIT 1")
_DROP_CHANGE: Final = Statement(
    "DELETE FROM number_change WHERE kind = :kind AND authority = :authority AND (prior = :value OR surviving = :value)"
)
_DROP_STUDY_KEYS: Final = Statement("DELETE FROM study_key WHERE key IN listed(:keys)")
_WITH_BYTES: Final = Statement(
    "SELECT number, body FROM inbound WHERE source = :source AND number > :after AND body IS NOT NULL"
    " ORDER BY number LIMIT :most"
)
_SOURCES: Final = Statement("SELECT name FROM source WHERE name >= '' ORDER BY name")
_HOLD_SOURCES: Final = Statement("SELECT name FROM source WHERE name >= '' ORDER BY name FOR UPDATE")
_STATE: Final = Statement("SELECT state FROM inbound WHERE number = :number")
_DROP_BODY: Final = Statement("UPDATE inbound SET body = NULL WHERE number = :number")
_SETTLED: Final = ("applied", "nothing")
_AT_A_TIME: Final = 100
Whose = Literal["", "patient", "others", "both"]
"""Whose a message is: the patient's; somebody else's, and it names the patient, too; or a merge with groups of both."""


@dataclass(frozen=True, slots=True)
class OrdersToErase:
    """Orders to erase, with their `keys`, the patient's `numbers` after merges, and `disputed` merges with others."""

    orders: tuple[StoredOrder, ...]
    keys: frozenset[str]
    numbers: frozenset[HospitalNumber]
    disputed: tuple[StoredChange, ...]


Judge: TypeAlias = Callable[[OrdersToErase, str, bytes], Whose]
"""Tells whose a message of a source is, from its compressed bytes."""


@dataclass(frozen=True, slots=True)
class HospitalErasure:
    """Hospital part of an erasure: `numbers` of the patient, or none if another study describes the patient.

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
    """Messages about the patient came in since the erasure was prepared: nothing was erased."""


def orders_to_erase(
    study_ids: Collection[str], numbers: Collection[HospitalNumber], authorities: Authorities
) -> Steps[OrdersToErase]:
    """Return the orders to erase with these studies and patient numbers; without numbers the patient stays."""
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
    """Erase orders with their visits, and delete the bytes of messages; return how many messages were concerned.

    The studies are erased before. Others that read one of the orders are ingested again.

    Raises:
        HospitalChangedError: other orders go, or under other numbers, than when the messages were read.
    """
    if found != hospital.found:
        raise HospitalChangedError
    for statement in _ERASE_ORDER:
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
    """Return the names of all sources that ever sent something, also those without stored messages."""
    return [str(name) for (name,) in await engine.fetch(_SOURCES)]


async def study_having(engine: Engine, numbers: Iterable[HospitalNumber]) -> str:
    """Return a study that has one of these numbers, or looked up orders under it; empty if none does."""
    keys = json.dumps(sorted(map(number_text, numbers)))
    return next((str(study_id) for (study_id,) in await engine.fetch(_HAS_KEY, keys=keys, study_ids="[]")), "")


def messages_with_bytes(source: str, after: int) -> Steps[list[tuple[int, bytes]]]:
    """Return the number and compressed bytes of a source's next messages after the number `after`.

    Of one source the numbers are in the order of the commits: no message comes later before those that were returned.
    """
    rows = yield from ask(_WITH_BYTES, source=source, after=after, most=_AT_A_TIME)
    return [(int(number), bytes(body)) for number, body in rows]


def _later_messages(hospital: HospitalErasure) -> Steps[dict[int, Whose]]:
    """Judge whose the messages are that came since the others were read; blocks new ones until the transaction ends."""
    later: dict[int, Whose] = {}
    for (source,) in (yield from ask(_HOLD_SOURCES)):
        after = hospital.read_to.get(str(source), 0)
        while rows := (yield from messages_with_bytes(str(source), after)):
            after = rows[-1][0]
            later |= {number: hospital.judge(hospital.found, str(source), body) for number, body in rows}
    return later


def _erase_messages(messages: Mapping[int, Whose], now: int) -> Steps[int]:
    """Delete the bytes of messages, and settle unapplied ones about the patient; return how many.

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
    """Return the orders that no other study answers, by their numbers."""
    found = {}
    for one in orders:
        if not (yield from is_answered(one.number, listed)):
            found[one.number] = one
    return found


def _without_orders(keys: Iterable[str]) -> Steps[list[HospitalNumber]]:
    """Return the numbers of those visits that have no order left."""
    found = []
    for key in sorted(keys):
        number = number_of(key)
        if number and number.kind != "patient" and not (yield from ask(_HAS_ORDER, key=key)):
            found += [number]
    return found


def _of_nobody_else(numbers: Iterable[HospitalNumber], listed: str) -> Steps[list[HospitalNumber]]:
    """Return the numbers that no other study has, under any type code, or looked up orders with."""
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
