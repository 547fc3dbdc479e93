"""Apply a merge message: store its changes of numbers, or hold them. Steps of one transaction.

HL7 v2.5.1 §3.3.40 (A40), §3.3.47 (A47), §3.4.9 (MRG), decision D48. A merge that cannot be applied is kept with its
reason: its numbers are then in doubt, until a later merge that is used says what becomes of the old number. Of patients
that are not known only the pair of numbers is kept.
Proved by tests/gateway/ingest/orders/test_apply_changes.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ingest.orders.arrival import Arrival, Batch, MoreLocks
from gateway.store.database.engine import Steps
from gateway.store.orders.inbound import SettledMessage
from gateway.store.orders.numbers import add_change, changes_with, note_held, number_text, refresh_studies, settle_doubt
from mappings.hospital.groups import MERGE_REASONS, ResolvedChange, merged, resolve_change


def change_subjects(arrival: Arrival) -> frozenset[str]:
    """Return the key texts of the numbers that a merge message names."""
    return frozenset(number_text(number) for change in _resolved(arrival) for number in change)


def apply_changes(arrival: Arrival, batch: Batch) -> Steps[SettledMessage | MoreLocks]:
    """Apply a merge message."""
    resolved, message, now = _resolved(arrival), arrival.message, batch.now
    keys = change_subjects(arrival)
    if not keys <= batch.locked:
        return MoreLocks(keys)
    texts = [change.surviving.value for change in message.changes]
    reasons: dict[ResolvedChange, str] = dict.fromkeys(resolved, message.held_for)
    if not message.held_for:
        reasons = yield from refused_changes(resolved, now)
    is_new = False
    for change, text in zip(resolved, texts, strict=True):
        is_new |= yield from add_change(change, text, arrival.name, reasons.get(change, ""), now)
        if change not in reasons:
            is_new |= yield from settle_doubt(change)
    if reasons or arrival.is_again:
        yield from note_held(reasons, arrival.number)
    is_known = bool(batch.orders.having(keys))
    if is_new and (yield from refresh_studies(keys, now)):
        is_known = True
    held = next(iter(reasons.values()), message.held_for)
    if held:
        return SettledMessage("held", held)
    return SettledMessage("applied" if is_new else "nothing", keeps_body=is_known)


def _resolved(arrival: Arrival) -> list[ResolvedChange]:
    return [resolve_change(change, arrival.authorities, arrival.sender) for change in arrival.message.changes]


def refused_changes(new: Sequence[ResolvedChange], now: int) -> Steps[dict[ResolvedChange, str]]:
    """Return why new changes are refused beside known ones, by change; changes no longer refused come into use.

    The caller holds the locks of their numbers.
    """
    known = yield from changes_with({number for change in new for number in change})
    usable = [one for one in known if not one.held or one.held in MERGE_REASONS]
    refused = {one.change: one.reason for one in merged([*(one.change for one in usable), *new]).held}
    for one in usable:
        if one.held and one.change not in refused:
            yield from add_change(one.change, one.surviving_text, one.message, "", now)
    return {change: refused[change] for change in new if change in refused}
