"""Read known visits and pairs of merges anew, once authorities of the settings changed.

HL7 v2.5.1 §2.A.36 (HD), §3.4.9 (MRG), decision D48. A visit has its number as its message names it. Of a merge only the
pair is kept: it is read from its message while that has its bytes. Later, an authority that no setting knew, or that no
message named, can be completed still. A pair that neither helps stays under a system that nobody has any more: counted.
Proved by tests/gateway/ingest/orders/test_rereading.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.ingest.orders.apply_changes import refused_changes
from gateway.ingest.orders.completed import completed
from gateway.ingest.orders.sources import authority_of
from gateway.runtime import clock
from gateway.runtime.loops import resting
from gateway.store.compression.stored_bytes import decompressed
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Steps
from gateway.store.orders.keys import number_text
from gateway.store.orders.number_changes import StoredChange, add_change, settle_doubt
from gateway.store.orders.rereading import end_change, merge_messages, reread_visits, used_changes, visit_keys
from gateway.store.orders.study_keys import lock_names, refresh_studies
from gateway.store.orders.visits import StoredVisit
from gateway.store.studies import locks
from mappings.answered_order import HospitalMessageName
from mappings.hl7v2.inbound import MERGE_TYPES, SourceRules, read_hospital_message
from mappings.hl7v2.received import Unreadable, read
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Authority, IssuedNumber
from mappings.hospital.merges import ResolvedChange, resolve_change

MOST: Final = 20  # rows of one transaction, since messages that arrive wait for it
_READ: Final = 200
_NAMED, _OWN = "hd:", "source:"  # authorities that stand for themselves (`Authorities.number`)
_Merges = Mapping[HospitalMessageName, Collection[ResolvedChange]]


class Rereading:
    """Visits and pairs of merges under the authorities of the settings; `rules` are those of each source."""

    def __init__(self, engine: Engine, authorities: Authorities, rules: Mapping[str, SourceRules]) -> None:
        self._engine, self._authorities, self._rules = engine, authorities, rules

    async def visits(self) -> None:
        """Store all visits under their numbers.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look begins anew.
        """
        after = ""
        while keys := await visit_keys(self._engine, after, MOST):
            locked, after = frozenset[str](), keys[-1]
            while not (concerned := await resting(self._engine.do(partial(self._visits, keys, locked)))) <= locked:
                locked |= concerned

    async def merges(self) -> int:
        """Store all pairs of merges under their numbers; return how many stay under a system that no setting names.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look begins anew.
        """
        said, systems, after, left = await self._said(), self._authorities.patient_systems, 0, 0
        while changes := await used_changes(self._engine, after, _READ):
            after = changes[-1].number
            for one in changes:
                now = self._change(one.change, one.message, said)
                if now != one.change:
                    await resting(self._engine.do(partial(self._replace, one, now)))
                elif now.prior.kind == "patient" and not now.prior.authority.startswith((_NAMED, _OWN)):
                    left += now.prior.authority not in systems
        return left

    def _visits(self, keys: Collection[str], locked: frozenset[str]) -> Steps[frozenset[str]]:
        yield from locks.take(lock_names(locked))
        concerned = yield from reread_visits(keys, self._visit, locked)
        if concerned <= locked:
            yield from refresh_studies(concerned, micros(clock.now()))
        return concerned

    def _visit(self, told: StoredVisit) -> StoredVisit:
        rules, number = self._rules.get(told.message.source), told.visit.number
        if rules is None or number is None or (read_anew := completed(number, "visit", rules)) is None:
            return told
        key = number_text(self._authorities.number("visit", read_anew, OrderSource(told.message.source)))
        return replace(told, key=key, visit=replace(told.visit, number=read_anew))

    async def _said(self) -> _Merges:
        """Return the pairs that merges say whose bytes are kept, by the names of the messages."""
        said: dict[HospitalMessageName, list[ResolvedChange]] = {}
        after = 0
        while rows := await merge_messages(self._engine, MERGE_TYPES, after, _READ):
            after = rows[-1][0]
            for _, source, body in rows:
                rules = self._rules.get(source)
                try:
                    message = None if rules is None else read_hospital_message(read(decompressed(body)), rules)
                except Unreadable:
                    continue
                if message is not None:
                    made = [resolve_change(one, self._authorities, OrderSource(source)) for one in message.changes]
                    said.setdefault(HospitalMessageName(source, message.control_id), []).extend(made)
        return said

    def _change(self, change: ResolvedChange, message: HospitalMessageName, said: _Merges) -> ResolvedChange:
        """Return a pair as its message says it under these settings, or as it can be completed without the message."""
        values = _values(change)
        usable = (one for one in said.get(message, ()) if one.prior.authority and one.surviving.authority)
        if found := next((one for one in usable if _values(one) == values), None):
            return found
        rules = self._rules.get(message.source)
        if rules is None:
            return change
        prior, surviving = [self._number(one, message.source, rules) for one in change]
        return ResolvedChange(prior, surviving)

    def _number(self, number: HospitalNumber, source: str, rules: SourceRules) -> HospitalNumber:
        """Return a number under an authority that the settings did not know, or that no message named."""
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

    def _replace(self, before: StoredChange, now: ResolvedChange) -> Steps[None]:
        """Make a pair void, and store the one that is right, unless that contradicts another: then it is held."""
        keys, at = {number_text(one) for one in (*before.change, *now)}, micros(clock.now())
        yield from locks.take(lock_names(keys))
        if not (yield from end_change(before)):
            return
        reasons = yield from refused_changes([now], at)
        yield from add_change(now, before.surviving_text, before.message, reasons.get(now, ""), at)
        if now not in reasons:
            yield from settle_doubt(now)
        yield from refresh_studies(keys, at)


def _values(change: ResolvedChange) -> tuple[str, str, str]:
    return change.prior.kind, change.prior.value, change.surviving.value
