"""Settle a study's match beside its earlier match and an operator's decision, and turn matched orders into facts.

HL7 v2.5.1 §4.5.1.1 (ORC-1), §2.A.36 (HD), §3.4.3 (PV1), decisions D11, D13, D48. A study that answers an order keeps it
when the order is cancelled later. Once a message was made of it, it never goes over to other orders by itself. An
operator's decision stands, but no order of another patient is answered. A new decision names a whole group, and no
order that any source cancelled. Each source has its own record of an order. Records with one placer or filler order
number, of one patient, are of one order: whichever source cancels it, it is cancelled. A number is stated only together
with its authority, by the names that the settings have for it. A visit is stated as it was at the time of the study.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from mappings.hospital.authorities import Authorities, HospitalNumber, OrderKey, OrderSource
from mappings.hospital.events import Clinician, CodedText, HospitalPatient, IssuedNumber, NumberKind, Visit
from mappings.hospital.groups import (
    NO_MERGES,
    Merges,
    ResolvedChange,
    compare_numbers,
    groups,
    indexed,
    is_about_patient,
    order_keys,
    own_numbers,
    patient_numbers,
)
from mappings.hospital.known_order import NO_AGE, KnownOrder, MessageAge, compared_age, is_state_newer
from mappings.hospital.match import (
    CANCELLED,
    REASONS,
    RELEASED,
    KnownHospital,
    Match,
    OrderSearch,
    Verdict,
    against_operator,
    is_of_other_time,
    match,
)
from mappings.issues import MappingIssue
from mappings.model import (
    AnsweredOrder,
    HospitalMessageName,
    MergedNumber,
    StatedClinician,
    StatedCode,
    StatedNumber,
    StatedVisit,
)
from mappings.profile import OrderNumberKind

_VisitKind = Literal["visit", "account"]
StatedKind = OrderNumberKind | NumberKind | Literal["clinician"]
# Authorities that stand for themselves (`Authorities.number`): no system of FHIR
_NO_SYSTEM: Final = ("hd:", "source:")
_DEFAULT_TYPE: Final = "MR"
_NO_PATIENT: Final = HospitalPatient()
_NO_SOURCE: Final = OrderSource("")


@dataclass(frozen=True, slots=True)
class MatchedOrder:
    """Order matched with a study, with its numbers in the database (several if several sources sent it).

    The first of `numbers` is that of its newest record. `is_cancelled` is True if it was cancelled or replaced since.
    """

    numbers: tuple[int, ...]
    order: KnownOrder
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class VisitEvent:
    """Visit as one message stated it; `at` is the time of the event, and `age` that of the message.

    `patient` is the message's, with the source of its numbers. `refused_by` are the orders, by number, that have the
    visit's number and another patient, if no order had this one: then nothing else is kept of the message.
    """

    at: datetime
    visit: Visit
    message: HospitalMessageName
    age: MessageAge = NO_AGE
    patient: HospitalPatient = _NO_PATIENT
    source: OrderSource = _NO_SOURCE
    refused_by: tuple[int, ...] = ()

    def is_of(self, order: KnownOrder, records: HospitalRecords) -> bool:
        """True if the event is about the patient of an order."""
        about = (order, self.patient, self.source, records.authorities, records.merges)
        return not self.refused_by and is_about_patient(*about)


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """Used change of a number, with the surviving number as the hospital wrote it."""

    change: ResolvedChange
    surviving_text: str
    message: HospitalMessageName


@dataclass(frozen=True, slots=True)
class HospitalRecords:
    """Records beside the orders: visit events by visit number, and changes of numbers."""

    authorities: Authorities
    visits: Mapping[HospitalNumber, Sequence[VisitEvent]]
    merges: Merges
    changes: Sequence[AppliedChange] = ()

    def surviving_text(self, number: HospitalNumber) -> str:
        """Return the number that finally replaces this one, as the hospital wrote it; empty if it was never merged."""
        end = self.merges.survivor(number)
        if end == number:
            return ""
        return next((one.surviving_text for one in reversed(self.changes) if one.change.surviving == end), end.value)


def answered_orders(
    matched: Iterable[MatchedOrder], records: HospitalRecords, at: datetime
) -> tuple[AnsweredOrder, ...]:
    """Convert matched orders to facts; `at` is the time of the study, for which visits are stated."""
    return tuple([_answered(one, records, at) for one in matched])


def merged_numbers(records: HospitalRecords, numbers: Iterable[tuple[str, str]]) -> tuple[MergedNumber, ...]:
    """Return the patient numbers merged into the same numbers as these: (system, value for comparison).

    A number whose change is held is left out, and so is one without a system.
    """
    merges, own = records.merges, set(numbers)
    changes = [one for one in records.changes if one.change.prior.kind == "patient"]
    every = {number for one in changes for number in one.change}
    ends = {merges.survivor(one) for one in every if (one.authority, one.value) in own}
    made: dict[HospitalNumber, MergedNumber] = {}
    for one in changes:
        prior = one.change.prior
        is_used = prior in merges.survivors and not merges.is_doubtful(prior)
        if is_used and merges.survivor(prior) in ends and not prior.authority.startswith(_NO_SYSTEM):
            text = records.surviving_text(prior)
            made.setdefault(prior, MergedNumber(prior.authority, prior.type_code, prior.value, text, one.message))
    return tuple([made[prior] for prior in sorted(made)])


def _answered(matched: MatchedOrder, records: HospitalRecords, at: datetime) -> AnsweredOrder:
    order, source = matched.order, matched.order.source

    def stated(kind: StatedKind, number: IssuedNumber | None) -> StatedNumber | None:
        return stated_number(kind, number, records.authorities, source)

    own = _own_event(order, records)
    told = _told(order, own, records)
    known = [one for one in told if one.is_of(order, records)]
    refused = [one for one in told if one not in known and _is_refused(one, matched)]
    people = [one for one in order.patient.numbers if any(records.authorities.patient_numbers([one], source))]
    return AnsweredOrder(
        order_number=matched.numbers[0],
        placer=stated("placer", order.placer),
        filler=stated("filler", order.filler),
        accession=stated("accession", order.accession),
        procedure=_code(order.procedure),
        priority=order.priority,
        ordering=_clinicians(order.ordering, records.authorities, source),
        indication=order.indication,
        notes=order.notes,
        patient_numbers=tuple([one for number in people if (one := stated("patient", number))]),
        visit=_visit(order, own, known, records, at),
        at=order.first_at.isoformat(),
        is_cancelled=matched.is_cancelled,
        message=HospitalMessageName(source.name, order.content_of.control_id),
        refused=tuple(dict.fromkeys(one.message for one in refused)),
    )


def without_authority(order: KnownOrder, authorities: Authorities) -> tuple[str, ...]:
    """Return the kinds of an order's numbers that have no authority, and so match nothing or are not stated."""
    given: dict[StatedKind, IssuedNumber | None] = {
        "accession": order.accession,
        "placer": order.placer,
        "filler": order.filler,
        "visit": order.visit.number if order.visit else None,
        "account": order.patient.account,
    }
    stated = {kind for kind, one in given.items() if stated_number(kind, one, authorities, order.source)}
    return tuple([kind for kind, one in given.items() if one and one.value.strip() and kind not in stated])


def stated_number(
    kind: StatedKind, number: IssuedNumber | None, authorities: Authorities, source: OrderSource
) -> StatedNumber | None:
    """Return a number with its authority; None without a number, or if its authority is neither known nor named."""
    if number is None or not (value := number.value.strip()):
        return None
    issuer = authorities.issuer(kind, number.authority, source)
    if issuer is None:
        return None
    type_code = (number.type_code or _DEFAULT_TYPE) if kind == "patient" else ""
    return StatedNumber(value, issuer.namespace, issuer.system, type_code)


def _code(code: CodedText) -> StatedCode:
    return StatedCode(
        code.code, code.text, code.system, code.alternate_code, code.alternate_text, code.alternate_system
    )


def _clinicians(
    given: Iterable[Clinician], authorities: Authorities, source: OrderSource
) -> tuple[StatedClinician, ...]:
    return tuple(
        [
            StatedClinician(
                tuple([made for one in who.numbers if (made := stated_number("clinician", one, authorities, source))]),
                *(who.family, who.given, who.middle, who.suffix, who.prefix, who.degree),
            )
            for who in given
        ]
    )


def _visit(
    order: KnownOrder, own: VisitEvent | None, told: Sequence[VisitEvent], records: HospitalRecords, at: datetime
) -> StatedVisit | None:
    """Return the visit of an order at the time of the study; a visit cancelled then has no class and no place."""
    given: dict[_VisitKind, IssuedNumber | None] = {"account": order.patient.account}
    given["visit"] = own.visit.number if own else None
    made = {kind: _present_number(kind, one, records, order.source) for kind, one in given.items()}
    stated = StatedVisit(
        number=made["visit"],
        account=made["account"],
        message=HospitalMessageName(order.source.name, order.content_of.control_id),
        lacks=tuple([kind for kind, one in given.items() if one and one.value.strip() and made[kind] is None]),
    )
    event = _as_of(_in_order([*([own] if own else []), *told]), at)
    if event is None or event.visit.state == "cancelled":
        return stated if stated.number or stated.account or stated.lacks else None
    visit = event.visit
    return replace(
        stated,
        patient_class=visit.patient_class,
        location=visit.location,
        attending=_clinicians(visit.attending, records.authorities, order.source),
        referring=_clinicians(visit.referring, records.authorities, order.source),
        begun=visit.begun.isoformat() if visit.begun else "",
        ended=visit.ended.isoformat() if visit.ended else "",
        message=event.message,
    )


def _present_number(
    kind: NumberKind, number: IssuedNumber | None, records: HospitalRecords, source: OrderSource
) -> StatedNumber | None:
    """Return the present number of a visit or account, after changes."""
    made = stated_number(kind, number, records.authorities, source)
    if number is None or made is None:
        return None
    text = records.surviving_text(records.authorities.number(kind, number, source))
    return replace(made, value=text) if text else made


def _is_refused(event: VisitEvent, matched: MatchedOrder) -> bool:
    """True if the store refused an event about another patient beside this order."""
    return not event.refused_by or not set(event.refused_by).isdisjoint(matched.numbers)


def _own_event(order: KnownOrder, records: HospitalRecords) -> VisitEvent | None:
    """Return the visit as the order's own messages state it; None if they stated it for another patient before."""
    if order.visit is None:
        return None
    told = order.content_of
    at = told.times[0] if told.times else order.last_at
    message = HospitalMessageName(order.source.name, told.control_id)
    event = VisitEvent(at, order.visit, message, told, order.visit_of, order.source)
    return event if event.is_of(order, records) else None


def _told(order: KnownOrder, own: VisitEvent | None, records: HospitalRecords) -> list[VisitEvent]:
    """Return all events under the order's visit numbers, whoever they are about."""
    key = records.authorities.key_of("visit", own.visit.number, order.source) if own else None
    if key is None:
        return []
    end = records.merges.survivor(key)
    return [
        one for number, events in records.visits.items() if records.merges.survivor(number) == end for one in events
    ]


def _in_order(events: Sequence[VisitEvent]) -> list[VisitEvent]:
    """Return events oldest first, without outdated ones."""
    return sorted([one for one in events if not _is_overtaken(one, events)], key=lambda one: one.at)


def _is_overtaken(one: VisitEvent, events: Iterable[VisitEvent]) -> bool:
    """True if a newer message reports an earlier event, so that this one was sent without knowing of that.

    A visit message may be sent long after its event, and an order message in between.
    """
    return not one.visit.state and any(
        other.visit.state and other.at <= one.at and compared_age(other.age, one.age) == "older" for other in events
    )


def _as_of(events: Sequence[VisitEvent], at: datetime) -> VisitEvent | None:
    """Return the last event at or before that time, else the first one after; fill empty fields from before."""
    past = [one for one in events if one.at <= at]
    if not past:
        return events[0] if events else None
    last = past[-1]
    for earlier in reversed(past[:-1]):
        if earlier.visit.state == "cancelled":
            break
        last = replace(last, visit=_filled(last.visit, earlier.visit))
    return last


def _filled(visit: Visit, earlier: Visit) -> Visit:
    return replace(
        visit,
        patient_class=visit.patient_class or earlier.patient_class,
        location=visit.location or earlier.location,
        attending=visit.attending or earlier.attending,
        referring=visit.referring or earlier.referring,
        begun=visit.begun or earlier.begun,
    )


def with_newest_states(
    orders: Mapping[int, KnownOrder], authorities: Authorities, merges: Merges
) -> dict[int, KnownOrder]:
    """Return the orders by number, each with the newest state (ended or standing) among its records.

    Within one source the applied messages say it already.
    """
    if len({order.source.name for order in orders.values()}) < 2:
        return dict(orders)
    index = indexed(orders.values(), authorities)
    made = {}
    for number, order in orders.items():
        newest = order
        for other in (
            *_records_elsewhere(order, index, authorities, merges),
            *_ends_of_accession(order, index, authorities, merges),
        ):
            newest = other if is_state_newer(other, newest) else newest
        made[number] = _with_state(order, newest)
    return made


def _records_elsewhere(
    order: KnownOrder, index: Mapping[OrderKey, list[KnownOrder]], authorities: Authorities, merges: Merges
) -> Iterator[KnownOrder]:
    """Yield other sources' records of an order."""
    own = own_numbers(order, authorities)
    patient = patient_numbers(order, authorities, merges)
    for other in (one for key in own.values() for one in index[key]):
        theirs = own_numbers(other, authorities)
        is_same = all(own[kind] == theirs[kind] for kind in own.keys() & theirs.keys())
        is_elsewhere = is_same and other.source.name != order.source.name
        if is_elsewhere and compare_numbers(patient, patient_numbers(other, authorities, merges)) != "differs":
            yield other


def _ends_of_accession(
    order: KnownOrder, index: Mapping[OrderKey, list[KnownOrder]], authorities: Authorities, merges: Merges
) -> Iterator[KnownOrder]:
    """Yield the records by which another source ended all orders of the patient under the accession number.

    Only records without a placer order number: one that has it is of that order alone.
    """
    accession = authorities.order_key("accession", order.accession, order.source)
    own, patient = own_numbers(order, authorities), patient_numbers(order, authorities, merges)
    elsewhere: dict[str, list[KnownOrder]] = {}
    for other in index.get(accession, ()) if accession else ():
        agrees = compare_numbers(patient, patient_numbers(other, authorities, merges)) == "agrees"
        if agrees and other.source.name != order.source.name:
            elsewhere.setdefault(other.source.name, []).append(other)
    for records in elsewhere.values():
        if all(one.is_void for one in records):
            for one in records:
                if not one.placer and own.keys().isdisjoint(own_numbers(one, authorities)):
                    yield one


def _with_state(order: KnownOrder, newest: KnownOrder) -> KnownOrder:
    """Return an order with the state (ended or standing) of another of its records."""
    if order.is_void == newest.is_void:
        return order
    is_of_facility = order.source.facility == newest.source.facility  # by which numbers without authority are read
    by = newest.replaced_by if is_of_facility else (None, None)
    return replace(order, ended=newest.ended, ended_at=newest.ended_at, replaced_by=by)


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
    """Orders by their numbers in the database, with all that matching needs."""

    orders: Mapping[int, KnownOrder]
    authorities: Authorities
    merges: Merges = NO_MERGES
    order_days: Mapping[str, int] = field(default_factory=dict)

    def known(self, orders: Iterable[KnownOrder]) -> KnownHospital:
        """Return a hospital with only these orders."""
        return KnownHospital(indexed(orders, self.authorities), self.authorities, self.merges, self.order_days)


@dataclass(frozen=True, slots=True)
class EarlierMatch:
    """Orders (by number) matched at the study's last ingest, and an operator's decision.

    `is_sent` is True if a message was made of the study since it answered them. With `match` it answers the `chosen`
    orders, and with `release` none.
    """

    orders: tuple[int, ...] = ()
    is_sent: bool = False
    decision: Literal["", "match", "release"] = ""
    chosen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SettledMatch:
    """Final match of a study: its orders; `reason` says why there are none, or why those found are not used."""

    orders: tuple[MatchedOrder, ...] = ()
    reason: str = ""
    issues: tuple[MappingIssue, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """Result in one word."""
        return REASONS[self.reason].verdict if self.reason else "matched"


def against_decision(search: OrderSearch, known: NumberedOrders, numbers: Collection[int]) -> str:
    """Return why an operator may not match these orders with the study; empty if they may.

    `known` also has the records that other sources have of the orders: the newest of them says if an order stands.
    """
    newest = with_newest_states(known.orders, known.authorities, known.merges)
    chosen = [newest[number] for number in numbers]
    is_ended = any(order.is_void for order in chosen)
    return against_operator(search, chosen, known.known(())) or (CANCELLED if is_ended else "")


def left_out(search: OrderSearch, known: NumberedOrders, numbers: Collection[int], at: datetime) -> tuple[int, ...]:
    """Return standing orders of the same groups that are not among these; `at` is the present.

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
    """Match a study with its orders, considering its earlier match; `at` is the present."""
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
    """Return the issue for a match that is held or refused; none for any other reason."""
    if reason not in ISSUE_CODES:
        return ()
    return (MappingIssue(ISSUE_CODES[reason], "warning", pointer, REASONS[reason].sentence.rstrip(".")),)


def _chosen(search: OrderSearch, known: NumberedOrders, numbers: Sequence[int]) -> SettledMatch:
    """Match the orders that an operator chose, unless they are another patient's now; a cancelled one stays."""
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
    """Decide between the orders that the study's numbers find and earlier orders that still fit, `kept`.

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
    """Return those of these orders that the study's own numbers would match if none had been cancelled."""
    revived = [replace(known.orders[one], ended="", ended_at=None) for one in numbers]
    keys = dict.fromkeys(key for one in revived for key in order_keys(one, known.authorities))
    own = replace(search, keys=tuple(keys), missing="")
    return _matched_orders(match(own, known.known(revived), at), known)


def _matched_orders(found: Match, known: NumberedOrders) -> tuple[MatchedOrder, ...]:
    return tuple([_matched_order(order, known) for order in found.orders])


def _matched_order(order: KnownOrder, known: NumberedOrders) -> MatchedOrder:
    """Find all records of an order: with its placer or filler order number, and without a different other one."""
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
