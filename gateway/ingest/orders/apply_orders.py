"""Apply the events of an order message to the known orders. Steps of one transaction.

HL7 v2.5.1 §4.4.1 (ORM), §4.4.4 (OMG), §4.4.10 (OMI), §4.5.1.2 (ORC-2), §4.5.1.3 (ORC-3), decision D48. An event
concerns the order of its placer order number, else of its filler order number. Only orders of the same source are
compared, by numbers with their authority. Where several fit, none is chosen. An event whose order no number names makes
no order. Some senders give an order its order number only later, and may go on to name it by its accession number. What
may be another order stays apart. Each stored study that has a number of a changed order is ingested again.
Proved by tests/gateway/ingest/orders/test_apply_loop.py and tests/gateway/ingest/orders/test_concerned.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.ingest.orders.arrival import Arrival, Batch, MoreLocks
from gateway.store.database.engine import Steps
from gateway.store.orders.hospital import StoredVisit
from gateway.store.orders.inbound import SettledMessage
from gateway.store.orders.numbers import changes_with, key_text, keys_of, merges_of, number_text, own_text, record_text
from mappings.hospital.authorities import Authorities, OrderKey, OrderSource
from mappings.hospital.events import CodedText, InboundIssue, IssuedNumber, OrderEffect, OrderEvent, Visit
from mappings.hospital.groups import NO_MERGES, Merges, is_about_patient, may_be_same, order_keys, patient_numbers
from mappings.hospital.known_order import NO_AGE, KnownOrder, applied, message_age, unread_number
from mappings.profile import OrderNumberKind

AMBIGUOUS: Final = "order-ambiguous"
NO_NUMBER: Final = "order-number-missing"
_KINDS: Final[tuple[OrderNumberKind, ...]] = ("placer", "filler", "accession")


class AmbiguousOrderError(Exception):
    """Several orders fit an event."""


@dataclass(slots=True, eq=False)
class Record:
    """Order while a message is applied: `number` in the database and `before` are None for a new order."""

    number: int | None = None
    before: KnownOrder | None = None
    now: KnownOrder | None = None


@dataclass(frozen=True, slots=True)
class OrderNames:
    """Key texts of an order's numbers by kind: with the authority from the settings, and as its source wrote them."""

    placer: frozenset[str]
    filler: frozenset[str]
    accession: frozenset[str]

    @property
    def every(self) -> frozenset[str]:
        """All key texts under which the order is found in the store."""
        return (self.placer | self.filler) or self.accession


def names_of(order: OrderEvent | KnownOrder, authorities: Authorities, source: OrderSource) -> OrderNames:
    """Return the key texts of an order's numbers."""
    return OrderNames(*(frozenset(_texts(kind, getattr(order, kind), authorities, source)) for kind in _KINDS))


def concerned(
    event: OrderEvent, records: Sequence[Record], authorities: Authorities, source: OrderSource
) -> list[Record]:
    """Return the record of the order that an event concerns: none if it is new, several if all of them end.

    Raises:
        AmbiguousOrderError: several fit.
    """
    own = names_of(event, authorities, source)
    known = [(record, names_of(record.now, authorities, source)) for record in records if record.now is not None]
    by_placer = [(record, names) for record, names in known if own.placer & names.placer]
    exact = [record for record, names in by_placer if own.filler & names.filler]
    fitting = exact or [record for record, names in by_placer if not (own.filler and names.filler)]
    if fitting and event.effect == "cancel":
        return fitting
    if not fitting and own.filler:
        is_numbering = event.effect == "number" or not own.placer
        fitting = [
            record for record, names in known if own.filler & names.filler and (is_numbering or not names.placer)
        ]
    if not fitting and not own.placer and not own.filler:
        fitting = [
            record
            for record, names in known
            if own.accession & names.accession and not names.placer and not names.filler
        ]
    if len(fitting) > 1:
        raise AmbiguousOrderError
    return fitting


def held_for(
    event: OrderEvent,
    records: Sequence[Record],
    issues: Iterable[InboundIssue],
    authorities: Authorities,
    source: OrderSource,
) -> str:
    """Return why an event about an unknown order is held; empty if it may make a new order.

    A number that cannot be read may be that of a known order: nothing may end or number an order beside that one.
    """
    own = names_of(event, authorities, source)
    unread = unread_number(issues)
    if not own.every:
        return unread or NO_NUMBER
    if own.placer or event.effect in ("open", "change"):
        return ""
    if unread:
        return unread
    others = [record.now for record in records if record.now is not None]
    is_of_other = any(own.accession & names_of(one, authorities, source).accession for one in others)
    return AMBIGUOUS if is_of_other and not own.filler else ""


def _texts(
    kind: OrderNumberKind, number: IssuedNumber | None, authorities: Authorities, source: OrderSource
) -> Iterator[str]:
    if number is None or not number.value.strip():
        return
    key = authorities.order_key(kind, number, source)
    if key:
        yield key_text(key)
    yield own_text(kind, number, source.name)


_NO_CODE: Final = CodedText()


def numbered_later(event: OrderEvent, records: Iterable[Record], arrival: Arrival) -> Steps[list[Record]]:
    """Return the record of an order that gets its order number only now, from this event; else none.

    A message that has several orders under the accession number tells them apart: none of them is found.

    Raises:
        AmbiguousOrderError: the event names an accession number alone, and several orders may be meant.
    """
    names = names_of(event, arrival.authorities, arrival.sender)

    def is_under(one: OrderEvent | KnownOrder) -> bool:
        return not names.accession.isdisjoint(names_of(one, arrival.authorities, arrival.sender).accession)

    under = {record: record.now for record in records if record.now is not None and is_under(record.now)}
    stated = applied(None, event, arrival.message, arrival.sender, arrival.received).order
    told = [one for one in arrival.message.orders if one.effect != "nothing" and is_under(one)]
    if stated is None or len(told) > 1 or not any(one.is_named_by_accession for one in under.values()):
        return []
    merges = yield from _merges([stated, *under.values()], arrival)
    about = (stated, arrival.authorities, merges, arrival.source.order_days)
    alike = {record: order for record, order in under.items() if may_be_same(order, *about)}
    if names.placer or names.filler:
        fitting = [record for record, order in alike.items() if _gets_number(order, stated, event.effect)]
        return fitting if len(alike) == 1 else []
    if not any(one.is_named_by_accession for one in alike.values()):
        return []
    if len(alike) > 1:
        raise AmbiguousOrderError
    return list(alike)


def _gets_number(order: KnownOrder, stated: KnownOrder, effect: OrderEffect) -> bool:
    """True for an order with only an accession number, and the event's procedure.

    It may also lack the procedure, unless the event brings a number and nothing else.
    """
    if not order.is_named_by_accession or order.placer or order.filler or order.is_void or stated.is_void:
        return False
    return order.procedure == stated.procedure or (order.procedure == _NO_CODE and effect != "number")


def _merges(orders: Iterable[KnownOrder], arrival: Arrival) -> Steps[Merges]:
    """Read the merges of the orders' patients, unless all have the same numbers."""
    numbers = [patient_numbers(one, arrival.authorities, NO_MERGES) for one in orders]
    if len(set(numbers)) == 1:
        return NO_MERGES
    return merges_of((yield from changes_with(frozenset().union(*numbers))))


SEVERAL_PATIENTS: Final = "several-patients"
BY_ARRIVAL: Final = "order-by-arrival"
OTHER_PATIENT: Final = "visit-of-other-patient"
_PRIOR_RESULTS: Final = "OMG^O19"  # its further patients are those of prior results


class _Codes(NamedTuple):
    """Codes noted about events, and codes that keep events from being applied."""

    noted: list[str]
    held: list[str]


def order_subjects(arrival: Arrival) -> frozenset[str]:
    """Return the key texts of the numbers that an order message names."""
    names = [names_of(event, arrival.authorities, arrival.sender) for event in arrival.message.orders]
    return frozenset().union(*[one.placer | one.filler | one.accession for one in names])


def uid_texts(arrival: Arrival) -> frozenset[str]:
    """Return the key texts of study UIDs, by which studies find the orders of a message."""
    uids = [uid for event in arrival.message.orders for uid in event.study_uids] if arrival.sender.are_uids_keys else []
    return frozenset(key_text(OrderKey("study_uid", "", uid)) for uid in uids)


def apply_orders(arrival: Arrival, batch: Batch) -> Steps[SettledMessage | MoreLocks]:
    """Apply an order message."""
    events = [event for event in arrival.message.orders if event.effect != "nothing"]
    codes = _Codes([], _held_of_message(arrival))
    if not events:
        return _settled(codes, arrival, is_changed=False)
    stored = batch.orders.having(order_subjects(arrival))
    records = [
        Record(number, order, order) for number, order in stored if order.source.name == arrival.source.stored_name
    ]
    for event in events:
        yield from _apply(event, records, arrival, codes)
    changed = [(one.number, one.before, one.now) for one in records if one.now and one.now != one.before]
    needed = _found_by_studies(changed, arrival.authorities)
    if not needed <= batch.locked:
        return MoreLocks(needed)
    now: list[tuple[int, KnownOrder]] = []
    for number, _, order in changed:
        put = yield from batch.orders.put(number, order, found_by(order, arrival.authorities), batch.now)
        batch.locked.add(record_text(put))
        now.append((put, order))
    told = told_visit(arrival, now, (yield from merges_between(arrival, now)), batch)
    codes.noted.extend([OTHER_PATIENT] if told.is_refused else [])
    altered = [one for one in changed if _content(one[1]) != _content(one[2])]
    batch.altered |= _found_by_studies(altered, arrival.authorities)
    return _settled(codes, arrival, is_changed=bool(changed))


class ToldVisit(NamedTuple):
    """Result for a message's visit: `is_told` for a known order, `is_refused` if that is another patient's."""

    is_told: bool = False
    is_refused: bool = False


def told_visit(arrival: Arrival, orders: Iterable[tuple[int, KnownOrder]], merges: Merges, batch: Batch) -> ToldVisit:
    """Add to the batch what a message says about the visit of one of these orders.

    Two patients may have one visit number by mistake. Of a message that is about the patient of none of the orders,
    only its name is stored.
    """
    message, visit = arrival.message, arrival.message.visit
    key = visit_key(arrival, visit)
    if visit is None or not key or not _says(visit):
        return ToldVisit()
    about = (message.patient, arrival.sender, arrival.authorities, merges)
    of_visit = [one for one in orders if key in keys_of(one[1], arrival.authorities)]
    agreed = [is_about_patient(order, *about) for _, order in of_visit]
    if not agreed:
        return ToldVisit()
    told = StoredVisit(key, arrival.at, visit, arrival.name, message_age(message), message.patient, arrival.sender)
    batch.visits.append((arrival.number, told if any(agreed) else told.refused(number for number, _ in of_visit)))
    return ToldVisit(any(agreed), not all(agreed))


def merges_between(arrival: Arrival, orders: Sequence[tuple[int, KnownOrder]]) -> Steps[Merges]:
    """Read the merges of the patients in a message and of orders, unless all share a number."""
    said = frozenset(arrival.authorities.own_numbers(arrival.message.patient.numbers, arrival.sender))
    others = [frozenset(arrival.authorities.own_numbers(one.patient.numbers, one.source)) for _, one in orders]
    if not any(said and one and said.isdisjoint(one) for one in others):
        return NO_MERGES
    return merges_of((yield from changes_with(said.union(*others))))


def visit_key(arrival: Arrival, visit: Visit | None) -> str:
    """Return the key text of a visit's number; empty if it cannot be a key."""
    number = arrival.authorities.key_of("visit", visit.number if visit else None, arrival.sender)
    return number_text(number) if number else ""


def own_keys(order: KnownOrder, authorities: Authorities) -> frozenset[str]:
    """Return the key texts of an order's own numbers, by which studies find it."""
    return frozenset(map(key_text, order_keys(order, authorities)))


def found_by(order: KnownOrder, authorities: Authorities) -> list[str]:
    """Return all key texts under which an order is stored."""
    names = names_of(order, authorities, order.source)
    return sorted({*keys_of(order, authorities), *names.placer, *names.filler, *names.accession})


def _held_of_message(arrival: Arrival) -> list[str]:
    """Return the code for which a whole message is held, whatever orders its first patient has."""
    message = arrival.message
    is_held = message.structure != _PRIOR_RESULTS and any(one.code == SEVERAL_PATIENTS for one in message.issues)
    return [SEVERAL_PATIENTS] if is_held else []


def _settled(codes: _Codes, arrival: Arrival, *, is_changed: bool) -> SettledMessage:
    if codes.held:
        return SettledMessage("held", codes.held[0])
    noted = (*codes.noted, *[issue.code for issue in arrival.message.issues])
    return SettledMessage("applied" if is_changed else "nothing", next(iter(noted), ""))


def _apply(event: OrderEvent, records: list[Record], arrival: Arrival, codes: _Codes) -> Steps[None]:
    """Apply one event to its order or to a new one, and add the codes of issues."""
    try:
        found = concerned(event, records, arrival.authorities, arrival.sender)
        found = found or (yield from numbered_later(event, records, arrival))
    except AmbiguousOrderError:
        codes.held.append(AMBIGUOUS)
        return
    if not found:
        if code := held_for(event, records, arrival.message.issues, arrival.authorities, arrival.sender):
            codes.held.append(code)
            return
        found = [Record()]
        records += found
    for record in found:
        made = applied(record.now, event, arrival.message, arrival.sender, arrival.received)
        if arrival.is_again and any(issue.code == BY_ARRIVAL for issue in made.issues):
            codes.held.append(BY_ARRIVAL)  # only its place among the others would say that it is newer, and it lost it
            continue
        record.now = made.order and _with_known_numbers(made.order, record.now)
        codes.noted.extend(issue.code for issue in made.issues)


def _with_known_numbers(order: KnownOrder, before: KnownOrder | None) -> KnownOrder:
    """Keep the patient numbers that visit messages added to an order, if its patient is still the same."""
    if before is None or set(before.patient.numbers).isdisjoint(order.patient.numbers):
        return order
    issuers = {(number.authority, number.type_code) for number in order.patient.numbers}
    kept = [one for one in before.patient.numbers if (one.authority, one.type_code) not in issuers]
    return replace(order, patient=replace(order.patient, numbers=(*order.patient.numbers, *kept))) if kept else order


def _says(visit: Visit) -> bool:
    told = (visit.patient_class, visit.location, visit.attending, visit.referring, visit.begun, visit.ended)
    return any(told) or bool(visit.state)


def _found_by_studies(
    changed: Iterable[tuple[int | None, KnownOrder | None, KnownOrder | None]], authorities: Authorities
) -> frozenset[str]:
    """Return the key texts of the studies that changed orders concern, also orders without a usable number."""
    made: set[str] = set()
    for number, *states in changed:
        made.update(key for order in states if order is not None for key in own_keys(order, authorities))
        made.update([] if number is None else [record_text(number)])
    return frozenset(made)


def _content(order: KnownOrder | None) -> KnownOrder | None:
    """Return an order without the names and times of its messages, to compare content."""
    if order is None:
        return None
    return replace(order, content_of=NO_AGE, state_of=NO_AGE, patient_of=NO_AGE, last_at=order.first_at)
