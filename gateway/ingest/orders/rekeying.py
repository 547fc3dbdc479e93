"""Renumber stored orders, visits and merges after changed settings give their numbers other authorities.

HL7 v2.5.1 §2.A.36 (HD), §3.4.9 (MRG), decision D48. An order is found by its numbers, each with the system of its
authority. If the settings name an authority that they did not, or name it otherwise, the orders that are known are
found by it. Where a message names no authority, or only a part of it, the settings complete it, for known orders, too.
The authority that a message names in full stays: one whose system the settings contradict now is no key. A visit has
its number as its message names it. Of a merge only the pair is kept: it is read from its message, or from one that says
it again, while that has its bytes. Later, an authority that no setting knew, or that no message named, can be completed
still. A pair that neither helps stays: it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple, overload

from gateway.ingest.orders.apply_changes import refused_changes
from gateway.ingest.orders.apply_orders import found_by
from gateway.ingest.orders.sources import authority_of
from gateway.runtime import clock
from gateway.runtime.errors import RowUnreadable
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever, resting
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Steps, micros
from gateway.store.database.facts import claimed, put, value_of
from gateway.store.database.kept import decompressed
from gateway.store.orders.hospital import StoredVisit, order_numbers, put_left_merges, rekey
from gateway.store.orders.inbound import source_lock
from gateway.store.orders.numbers import (
    StoredChange,
    add_change,
    drop_used,
    lock_names,
    number_text,
    refresh_studies,
    settle_doubt,
)
from gateway.store.orders.upkeep import (
    KeptMerge,
    hold_again,
    is_kept,
    is_used,
    merge_messages,
    reread_visits,
    used_changes,
    visit_keys,
)
from mappings.hl7v2.inbound import MERGE_TYPES, KeyKind, SourceRules, read_hospital_message
from mappings.hl7v2.received import Unreadable, read
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Authority, HospitalMessage, IssuedNumber, Visit
from mappings.hospital.groups import ResolvedChange, resolve_change
from mappings.hospital.known_order import KnownOrder, MessageAge
from mappings.model import HospitalMessageName

_FACILITY: Final = 3  # place of PL.4 among the components of a location


def rules_for(rules: SourceRules, age: MessageAge, visit: Visit | None) -> SourceRules:
    """Return the rules for numbers in a stored message, by its sender and its visit's facility."""
    place = visit.location[_FACILITY] if visit and len(visit.location) > _FACILITY else ""
    return rules.of_message(age.sender[1], [place] if place else [])[0]


@overload
def completed(number: IssuedNumber, kind: KeyKind, rules: SourceRules) -> IssuedNumber: ...
@overload
def completed(number: None, kind: KeyKind, rules: SourceRules) -> None: ...
@overload
def completed(number: IssuedNumber | None, kind: KeyKind, rules: SourceRules) -> IssuedNumber | None: ...
def completed(number: IssuedNumber | None, kind: KeyKind, rules: SourceRules) -> IssuedNumber | None:
    """Complete a number's authority as the settings write it, if they know it; else return the number."""
    if number is None or number.named is None:
        return number
    authority = rules.recognised(number.named, kind)
    return number if authority is None else replace(number, authority=authority)


MOST: Final = 20  # rows of one transaction, or messages read at one time, since messages that arrive wait for it
_READ: Final = 200
_NAMED, _OWN = "hd:", "source:"  # authorities that stand for themselves (`Authorities.number`)
_Values = tuple[str, str, str, str]  # kind, type, and both numbers: no setting decides them


class _Said(NamedTuple):
    """Change of a number as a kept message (by number and name) gives it under these settings."""

    number: int
    name: HospitalMessageName
    change: ResolvedChange


_SaidPairs = Mapping[_Values, Sequence[_Said]]


class Rereading:
    """Renumber visits and merges under the settings' authorities; `rules` are those of each source."""

    def __init__(self, engine: Engine, authorities: Authorities, rules: Mapping[str, SourceRules]) -> None:
        self._engine, self._authorities, self._rules = engine, authorities, rules
        self._given = {source: self._systems(source, one) for source, one in rules.items()}

    async def visits(self) -> None:
        """Renumber all visits.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look begins anew.
        """
        after = ""
        while keys := await visit_keys(self._engine, after, MOST):
            locked, after = frozenset[str](), keys[-1]
            while not (concerned := await resting(self._engine.do(partial(self._visits, keys, locked)))) <= locked:
                locked |= concerned

    async def merges(self) -> Counter[tuple[str, str]]:
        """Renumber all merges; count those that stay as they are, by source and system.

        Those are under a system that the settings of their own source do not give, or contradict another pair under the
        right one while no message is kept that an operator could settle.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look begins anew.
        """
        said, left = await self._said(), Counter[tuple[str, str]]()
        rows = Counter([values async for one in self._used() if (values := _values(one.change)) in said])
        async for one in self._used():
            values = _values(one.change)
            every = said.get(values, ())
            is_said = any(it.change == one.change for it in every)
            told = _told(one, every, rows[values] <= 1)
            now = told.change if told else self._completed(one)
            if now != one.change:
                is_left = not await self._replaced(one, now, told, is_said)
            else:
                is_left = not is_said and self._is_strange(one)
            left[one.message.source, one.change.prior.authority] += is_left
        return +left

    async def _used(self) -> AsyncIterator[StoredChange]:
        after = 0
        while changes := await resting(used_changes(self._engine, after, _READ)):
            after = changes[-1].number
            for one in changes:
                yield one

    def _is_strange(self, one: StoredChange) -> bool:
        """Return True for a change of a patient number whose system its source's settings never give."""
        kind, system = one.change.prior.kind, one.change.prior.authority
        if kind != "patient" or system.startswith((_NAMED, _OWN)):
            return False
        return system not in self._given.get(one.message.source, self._authorities.patient_systems)

    def _systems(self, source: str, rules: SourceRules) -> frozenset[str]:
        """Return all systems of patient numbers that the rules of a source give."""
        given = (*rules.authorities, rules.bare.get("patient", Authority()))
        numbers = [self._authorities.number("patient", IssuedNumber("", one), OrderSource(source)) for one in given]
        return frozenset(one.authority for one in numbers)

    def _visits(self, keys: Collection[str], locked: frozenset[str]) -> Steps[frozenset[str]]:
        yield from locks.take(lock_names(locked))
        concerned = yield from reread_visits(keys, self._visit, locked)
        if concerned <= locked:
            yield from refresh_studies(concerned, micros(clock.now()))
        return concerned

    def _visit(self, told: StoredVisit) -> StoredVisit:
        if (rules := self._rules.get(told.message.source)) is None or told.refused_by:
            return told
        rules = rules_for(rules, told.age, told.visit)
        numbers = tuple([completed(one, "patient", rules) for one in told.patient.numbers])
        number = completed(told.visit.number, "visit", rules)
        visit, patient = replace(told.visit, number=number), replace(told.patient, numbers=numbers)
        told = replace(told, visit=visit, patient=patient)
        key = self._authorities.key_of("visit", number, told.source)
        return replace(told, key=number_text(key)) if key else told

    async def _said(self) -> _SaidPairs:
        """Return the changes that kept merge messages give under these settings, by parts that no setting changes."""
        said: dict[_Values, list[_Said]] = {}
        after = 0
        while messages := await resting(merge_messages(self._engine, MERGE_TYPES, after, MOST)):
            after = messages[-1].number
            for one in messages:
                for change in self._read(one):
                    if change.prior.authority and change.surviving.authority:
                        said.setdefault(_values(change), []).append(_Said(one.number, one.name, change))
        return said

    def _read(self, one: KeptMerge) -> Iterator[ResolvedChange]:
        source = one.name.source
        if (rules := self._rules.get(source)) is None:
            return
        message = _message(one.body, rules)
        for change in message.changes if message else ():
            yield resolve_change(change, self._authorities, OrderSource(source))

    def _completed(self, one: StoredChange) -> ResolvedChange:
        """Return a change completed by the settings, without its message."""
        source = one.message.source
        rules = self._rules.get(source)
        if rules is None:
            return one.change
        prior, surviving = [self._number(it, source, rules) for it in one.change]
        return ResolvedChange(prior, surviving)

    def _number(self, number: HospitalNumber, source: str, rules: SourceRules) -> HospitalNumber:
        """Return a number with the authority that the settings now give it."""
        if number.authority.startswith(_NAMED):
            namespace, _, system = number.authority.removeprefix(_NAMED).partition("&")
            named = authority_of(namespace, system)
        elif number.authority == f"{_OWN}{source}":
            named = Authority()
        else:
            return number
        issued = completed(IssuedNumber(number.value, named, number.type_code, named), number.kind, rules)
        if issued is None:
            return number
        made = self._authorities.number(number.kind, issued, OrderSource(source))
        return made if made.authority else number

    async def _replaced(self, before: StoredChange, now: ResolvedChange, told: _Said | None, stays: bool) -> bool:
        reason = await resting(self._engine.do(partial(self._replace, before, now, told, stays)))
        if reason:
            get_logger().error("order-message-held", source=before.message.source, code=reason)
        return reason is not None

    def _replace(self, before: StoredChange, now: ResolvedChange, told: _Said | None, stays: bool) -> Steps[str | None]:
        """Replace a change by the right one; the old one `stays` if another message still gives it.

        If it contradicts another, it is held with the message that says it, and the reason returned. Without such a
        message nobody could settle it: then nothing is written, and None returned. What an erasure removed since the
        messages were read is not put back: neither a pair that is gone, nor what a message without bytes said.
        """
        message = told.name if told else before.message
        keys, at = {number_text(one) for one in (*before.change, *now)}, micros(clock.now())
        yield from locks.take([source_lock(message.source), *lock_names(keys)])
        if not (yield from is_used(before.number)):
            return ""
        if told and not (yield from is_kept(told.number)):
            return "" if stays else None
        reason = (yield from refused_changes([now], at)).get(now, "")
        if reason and not told:
            return None
        if not stays:
            yield from drop_used(before.number)
        yield from add_change(now, before.surviving_text, message, reason, at)
        if reason and told:
            yield from hold_again(told.number, now, reason, at)
        else:
            yield from settle_doubt(now)
        yield from refresh_studies(keys, at)
        return reason


def _message(body: bytes, rules: SourceRules) -> HospitalMessage | None:
    """Read a stored message by its source's rules; None if it is damaged."""
    try:
        return read_hospital_message(read(decompressed(body)), rules)
    except (Unreadable, RowUnreadable):
        return None


def _told(one: StoredChange, every: Iterable[_Said], is_alone: bool) -> _Said | None:
    """Return the message that gives another change in place of a stored one: its own, or a repetition.

    Two hospitals may merge equal numbers: only if the pair `is_alone` with its numbers, another message means it.
    """
    of_source = [it for it in every if it.name.source == one.message.source]
    own = [it for it in of_source if it.name == one.message]
    found = own or (of_source if is_alone else [])
    pairs = {it.change for it in found}
    return found[0] if len(pairs) == 1 and one.change not in pairs else None


def _values(change: ResolvedChange) -> _Values:
    return change.prior.kind, change.prior.type_code, change.prior.value, change.surviving.value


EVERY: Final = 3_600.0  # seconds
NOT_READ: Final = "merges-not-read-anew"
_FACT: Final = "order-authorities"
_READING: Final = 3  # with another one all is read anew once, also under the same authorities


class OrderKeys:
    """Upkeep of stored order numbers under the authorities of the settings; `rules` are those of each source."""

    def __init__(self, engine: Engine, authorities: Authorities, rules: Mapping[str, SourceRules]) -> None:
        self._engine, self._authorities, self._rules = engine, authorities, rules

    async def run(self) -> None:
        """Run at the start, and every hour in case a process with older settings wrote meanwhile."""
        await forever(self.once, EVERY, not_done="orders-not-rekeyed")

    async def once(self) -> None:
        """Renumber all orders, unless that was done under these settings.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look begins anew.
        """
        if await self.is_done():
            return
        digest, after = self._digest, 0
        while numbers := await order_numbers(self._engine, after, MOST):
            await resting(self._rekeyed(numbers))
            after = numbers[-1]
        rereading = Rereading(self._engine, self._authorities, self._rules)
        await rereading.visits()
        left = await rereading.merges()
        await put_left_merges(self._engine, left.total(), micros(clock.now()))  # first: it is counted only once
        await claimed(self._engine, _FACT, digest)
        await put(self._engine, _FACT, digest)
        get_logger().info("orders-rekeyed")
        for (source, system), count in sorted(left.items()):
            get_logger().warning(NOT_READ, source=source, where=system, count=count)

    async def is_done(self) -> bool:
        """Return True if all orders, visits and merges are stored under the numbers that these settings give.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        return await value_of(self._engine, _FACT) == self._digest

    async def _rekeyed(self, numbers: list[int]) -> None:
        locked = frozenset[str]()
        while not (concerned := await self._engine.do(partial(self._rekeying, numbers, locked))) <= locked:
            locked |= concerned

    def _rekeying(self, numbers: list[int], locked: frozenset[str]) -> Steps[frozenset[str]]:
        yield from locks.take(lock_names(locked))
        concerned = yield from rekey(numbers, self._read_anew, self._keys_of, locked)
        if concerned <= locked:
            yield from refresh_studies(concerned, micros(clock.now()))
        return concerned

    @property
    def _digest(self) -> str:
        """Return a digest of all settings that the numbers depend on."""
        rules = [
            (name, one.authorities, sorted(one.bare.items()), one.sending_facilities, one.location_facilities)
            for name, one in sorted(self._rules.items())
        ]
        return sha256(f"{_READING} {self._authorities.digest} {rules}".encode()).hexdigest()

    def _read_anew(self, order: KnownOrder) -> KnownOrder:
        """Return an order with its numbers under the settings of its source."""
        rules = self._rules.get(order.source.name)
        if rules is None:
            return order
        rules = rules_for(rules, order.content_of if order.content_of.sender[1] else order.state_of, order.visit)
        placer, filler = order.replaced_by
        numbers, of_visit = [
            tuple([completed(one, "patient", rules) for one in patient.numbers])
            for patient in (order.patient, order.visit_of)
        ]
        return replace(
            order,
            placer=completed(order.placer, "placer", rules),
            filler=completed(order.filler, "filler", rules),
            accession=completed(order.accession, "accession", rules),
            group=completed(order.group, "placer", rules),
            replaced_by=(completed(placer, "placer", rules), completed(filler, "filler", rules)),
            patient=replace(order.patient, numbers=numbers, account=completed(order.patient.account, "account", rules)),
            visit_of=replace(order.visit_of, numbers=of_visit),
            visit=order.visit and replace(order.visit, number=completed(order.visit.number, "visit", rules)),
        )

    def _keys_of(self, order: KnownOrder) -> list[str]:
        return found_by(order, self._authorities)
