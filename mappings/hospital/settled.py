"""Settle which orders a study answers, beside what it answered before and what an operator decided.

HL7 v2.5.1 §4.5.1.1 (ORC-1), decisions D13, D48. A study that answers an order keeps it when the order is cancelled
later. Once a message was made of it, it never goes over to other orders by itself. An operator's decision stands, but
no order of another patient is answered. A new decision names a whole group, and no order that any source cancelled.
Proved by tests/mappings/hospital/test_settled.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from mappings.hospital.answered import MatchedOrder
from mappings.hospital.authorities import Authorities, OrderKey
from mappings.hospital.groups import compare_numbers, groups, indexed, order_keys, own_numbers, patient_numbers
from mappings.hospital.known_order import KnownOrder
from mappings.hospital.match import KnownHospital, Match, against_operator, is_of_other_time, match
from mappings.hospital.merges import NO_MERGES, Merges
from mappings.hospital.order_search import OrderSearch
from mappings.hospital.reasons import CANCELLED, REASONS, RELEASED, Verdict
from mappings.hospital.told_states import with_newest_states
from mappings.issues import MappingIssue

CHANGED: Final = "order-match-changed"
_GONE: Final = "order-verdict-gone"
# Reason for which a match is held or refused -> code of the study's issue
ISSUE_CODES: Final[dict[str, str]] = {
    "accession-reused": "order-accession-reused",
    "order-cancelled": "order-cancelled",
    "cancel-in-doubt": "order-cancel-in-doubt",
    "several-groups": "order-several-groups",
    "keys-disagree": "order-keys-disagree",
    "patient-number-differs": "order-patient-number-differs",
    "patient-conflict": "order-patient-conflict",
    "identity-conflict": "order-identity-conflict",
    "group-contradictory": "order-group-contradictory",
    "merge-held": "order-merge-held",
    "study-uid-differs": "order-study-uid-differs",
    "order-match-changed": "order-match-changed",
}


@dataclass(frozen=True, slots=True)
class NumberedOrders:
    """Orders by their numbers in the database, with what is needed to match them."""

    orders: Mapping[int, KnownOrder]
    authorities: Authorities
    merges: Merges = NO_MERGES
    order_days: Mapping[str, int] = field(default_factory=dict)

    def known(self, orders: Iterable[KnownOrder]) -> KnownHospital:
        """Return a hospital that has these orders only."""
        return KnownHospital(indexed(orders, self.authorities), self.authorities, self.merges, self.order_days)


@dataclass(frozen=True, slots=True)
class EarlierMatch:
    """Orders, by number, that a study answered at its last ingest, and an operator's decision.

    `is_sent` is True if a message was made of the study since it answered them. With `match` it answers the `chosen`
    orders, and with `release` none.
    """

    orders: tuple[int, ...] = ()
    is_sent: bool = False
    decision: Literal["", "match", "release"] = ""
    chosen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SettledMatch:
    """Orders that a study answers. `reason` is why it answers none, or why those that its numbers find stay out."""

    orders: tuple[MatchedOrder, ...] = ()
    reason: str = ""
    issues: tuple[MappingIssue, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """Result in one word."""
        return REASONS[self.reason].verdict if self.reason else "matched"


def against_decision(search: OrderSearch, known: NumberedOrders, numbers: Collection[int]) -> str:
    """Return the reason for which an operator may not decide that a study answers these orders; empty if they may.

    `known` also has the records that other sources have of the orders: the newest of them says if an order stands.
    """
    newest = with_newest_states(known.orders, known.authorities, known.merges)
    chosen = [newest[number] for number in numbers]
    is_ended = any(order.is_void for order in chosen)
    return against_operator(search, chosen, known.known(())) or (CANCELLED if is_ended else "")


def left_out(search: OrderSearch, known: NumberedOrders, numbers: Collection[int], at: datetime) -> tuple[int, ...]:
    """Return the standing orders that belong to the groups of these orders and are none of them; `at` is the present.

    Orders of one patient under one accession number are answered together. One of another time is of no group.
    """
    known = replace(known, orders=with_newest_states(known.orders, known.authorities, known.merges))
    day = search.day or at.date()
    every = known.known(())
    now = {number: one for number, one in known.orders.items() if not is_of_other_time(one, day, every)}
    named = [now[number] for number in numbers if number in now]
    made = groups(tuple(now.values()), known.authorities, known.merges)
    standing = [one for group in made if any(order in named for order in group.orders) for one in group.standing]
    answered = {record for order in named for record in _matched_order(order, known).numbers}
    return tuple(sorted(number for number, one in now.items() if one in standing and number not in answered))


def settled_match(search: OrderSearch, known: NumberedOrders, earlier: EarlierMatch, at: datetime) -> SettledMatch:
    """Match a study with its orders, beside what was matched earlier; `at` is the present."""
    known = replace(known, orders=with_newest_states(known.orders, known.authorities, known.merges))
    if earlier.decision == "release":
        return SettledMatch(reason=RELEASED)
    chosen = [number for number in earlier.chosen if number in known.orders]
    if earlier.decision == "match" and chosen:
        return _chosen(search, known, chosen)
    settled = _unaided(search, known, earlier, at)
    if earlier.decision == "match":
        action = "an operator chose an order that is not known any more: the study's numbers decide"
        settled = replace(settled, issues=(*settled.issues, MappingIssue(_GONE, "warning", search.pointer, action)))
    return settled


def issue_of(reason: str, pointer: str) -> tuple[MappingIssue, ...]:
    """Return the issue of a study whose match is held or refused; none for another reason."""
    if reason not in ISSUE_CODES:
        return ()
    return (MappingIssue(ISSUE_CODES[reason], "warning", pointer, REASONS[reason].sentence.rstrip(".")),)


def _chosen(search: OrderSearch, known: NumberedOrders, numbers: Sequence[int]) -> SettledMatch:
    """Answer the orders that an operator chose, unless they are another patient's by now; a cancelled one stays."""
    orders = [known.orders[number] for number in numbers]
    revived = [replace(order, ended="", ended_at=None) for order in orders]
    if reason := against_operator(search, revived, known.known(())):
        return SettledMatch(reason=reason, issues=issue_of(reason, search.pointer))
    made: dict[frozenset[int], MatchedOrder] = {}
    for one in (_matched_order(order, known) for order in orders):
        made.setdefault(frozenset(one.numbers), one)  # two records of one order are one
    return SettledMatch(tuple(made.values()))


def _unaided(search: OrderSearch, known: NumberedOrders, earlier: EarlierMatch, at: datetime) -> SettledMatch:
    fresh = match(search, known.known(known.orders.values()), at)
    settled = SettledMatch(_matched_orders(fresh, known), fresh.reason, fresh.issues)
    before = [number for number in earlier.orders if number in known.orders]
    answered = {number for one in settled.orders for number in one.numbers}
    lost = [number for number in before if number not in answered]
    if lost and (earlier.is_sent or fresh.reason == CANCELLED):
        kept = _standing(search, known, lost, at)
        return _beside(search, settled, kept, is_sent=earlier.is_sent, shares=len(lost) < len(before))
    return replace(settled, issues=(*settled.issues, *issue_of(settled.reason, search.pointer)))


def _beside(
    search: OrderSearch, settled: SettledMatch, kept: tuple[MatchedOrder, ...], *, is_sent: bool, shares: bool
) -> SettledMatch:
    """Settle between what the study's numbers find and the earlier orders that still fit its patient, `kept`.

    Orders that were cancelled stay without a word. If the numbers find other orders than before, these stay out.
    """
    is_only_cancelled = bool(kept) and all(one.is_cancelled for one in kept)
    if is_only_cancelled and (shares or settled.reason == CANCELLED):
        return SettledMatch((*settled.orders, *kept), "", settled.issues)
    if not is_sent:
        return replace(settled, issues=(*settled.issues, *issue_of(settled.reason, search.pointer)))
    why = (*settled.issues, *issue_of(CHANGED, search.pointer), *issue_of(settled.reason, search.pointer))
    orders = (*(settled.orders if shares else ()), *kept)
    return SettledMatch(orders, CHANGED if kept else settled.reason or CHANGED, why)


def _standing(
    search: OrderSearch, known: NumberedOrders, numbers: Iterable[int], at: datetime
) -> tuple[MatchedOrder, ...]:
    """Return these orders as far as the study would answer them by their own numbers if none had been cancelled."""
    revived = [replace(known.orders[one], ended="", ended_at=None) for one in numbers]
    keys = dict.fromkeys(key for one in revived for key in order_keys(one, known.authorities))
    own = replace(search, keys=tuple(keys), missing="")
    return _matched_orders(match(own, known.known(revived), at), known)


def _matched_orders(found: Match, known: NumberedOrders) -> tuple[MatchedOrder, ...]:
    return tuple([_matched_order(order, known) for order in found.orders])


def _matched_order(order: KnownOrder, known: NumberedOrders) -> MatchedOrder:
    """Find the records of an order: those with its placer or filler order number, and none other of either."""
    own = own_numbers(order, known.authorities)
    records = [number for number, one in known.orders.items() if _is_record(one, order, own, known)]
    records.sort(key=lambda number: (not _is_newest(known.orders[number], order), number))
    is_cancelled = all(known.orders[number].is_void for number in records)
    return MatchedOrder(tuple(records), order, is_cancelled)


def _is_record(one: KnownOrder, order: KnownOrder, own: Mapping[str, OrderKey], known: NumberedOrders) -> bool:
    if one is order:
        return True
    theirs = own_numbers(one, known.authorities)
    shared = own.keys() & theirs.keys()
    if not shared:
        return not own and not theirs and _is_newest(one, order) and one.accession == order.accession
    if any(own[kind] != theirs[kind] for kind in shared):
        return False
    people = [patient_numbers(each, known.authorities, known.merges) for each in (one, order)]
    return compare_numbers(*people) != "differs"


def _is_newest(one: KnownOrder, order: KnownOrder) -> bool:
    return (one.source, one.content_of, one.last_at) == (order.source, order.content_of, order.last_at)
