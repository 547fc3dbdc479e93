"""Match a study with the orders that it answers; or give a code and a sentence why it answers none.

HL7 v2.5.1 §4.5.3.2 (OBR-2), §4.5.3.3 (OBR-3), decisions D11, D12, D18, D48. Only exact numbers with their authority
find orders. AutoScribe gives numbers without authority: they belong to the facility of the study. A number that the
gateway itself told AutoScribe is no evidence. A patient number of the order must not differ from the study's under one
authority, and name, birth date and sex must not contradict. Where two answers fit, none is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final, Literal, NamedTuple

from mappings.hospital.authorities import Authorities, HospitalNumber, OrderKey
from mappings.hospital.events import HospitalPatient
from mappings.hospital.groups import (
    NO_MERGES,
    Agreement,
    Merges,
    OrderGroup,
    are_different,
    compare_numbers,
    groups,
    hospital_person,
    order_keys,
)
from mappings.hospital.known_order import ORDER_DAYS, KnownOrder, combined, is_apart
from mappings.issues import MappingIssue
from mappings.model import Facts, Study
from mappings.patient.identifiers import mrn_key, short_id
from mappings.patient.people import Person, are_alike, said_of
from mappings.patient.subjects import Subject
from mappings.profile import Facility, OrderNumberKind
from mappings.study.orders import accession_numbers, placer_order_numbers
from mappings.values.dates import parse_date, parse_instant

Verdict = Literal["matched", "none", "refused", "held"]
"""Result of matching a study.

- `matched`: the study answers the orders.
- `none`: no order is known for it.
- `refused`: orders have its numbers, but belong to another study.
- `held`: the numbers and the patient contradict each other, or more than one answer fits. An operator must decide.
"""


class Reason(NamedTuple):
    """Verdict that goes with a reason, and the sentence for operators."""

    verdict: Verdict
    sentence: str


CANCELLED: Final = "order-cancelled"
RELEASED: Final = "released"
FACILITY_UNKNOWN: Final = "facility-unknown"
REASONS: Final[dict[str, Reason]] = {
    FACILITY_UNKNOWN: Reason("none", "No table of the settings has the facility's name: its numbers match nothing."),
    "no-number": Reason("none", "The study gives no order number whose authority the settings name."),
    RELEASED: Reason("none", "An operator decided that the study goes without an order."),
    "no-order": Reason("none", "No known order has one of the study's numbers."),
    "accession-reused": Reason("refused", "The number was that of an order of another time: it was used again."),
    CANCELLED: Reason("held", "The order was cancelled or replaced, and no other order takes its place."),
    "cancel-in-doubt": Reason(
        "held", "The accession number was cancelled, and nothing exact shows if the order is meant."
    ),
    "several-groups": Reason("held", "Orders of several patients have the numbers, and nothing exact decides."),
    "keys-disagree": Reason("held", "The study's numbers belong to different orders."),
    "patient-number-differs": Reason("held", "The order is for another patient number of the same authority."),
    "patient-conflict": Reason("held", "Name, birth date or sex of the order cannot be those of the study's patient."),
    "identity-conflict": Reason("held", "Reports of the study or of other studies dispute whose study it is."),
    "group-contradictory": Reason("held", "The orders under the study's numbers describe two people as one patient."),
    "merge-held": Reason("held", "The patient's number is part of a merge that is held."),
    "study-uid-differs": Reason(
        "held", "The order names another study UID, and nothing shows that the patient agrees."
    ),
    "order-match-changed": Reason(
        "held", "The study's numbers find other orders than those of messages that were made: these stay."
    ),
}
"""Code -> verdict and sentence. A code never changes its meaning."""


_WHOLE_DATE: Final = 10
_CONFLICT: Final = "identity-conflict"


@dataclass(frozen=True, slots=True)
class OrderSearch:
    """Everything that a study says about its order, to search by.

    `missing` is the reason if there is no key. `patient_numbers` are systems with values for comparison. `day` is the
    study's; None if it is unknown. `is_disputed` is True if it is not sure whose study it is (D12). `told` are those of
    the patient numbers that AutoScribe has only from the gateway: they may contradict an order, and agree with none.
    """

    keys: tuple[OrderKey, ...]
    missing: str
    study_uid: str
    patient_numbers: tuple[tuple[str, str], ...]
    person: Person
    day: date | None
    pointer: str
    is_disputed: bool = False
    told: frozenset[str] = frozenset()


def order_search(
    study: Study, subject: Subject, authorities: Authorities, facts: Facts, told: frozenset[str] = frozenset()
) -> OrderSearch:
    """Collect what a study says about its order; `subject` is its own patient, `told` the gateway's answers.

    The search is the study's: its addenda, and reports about other patients, have no search of their own.
    """
    snapshot = subject.snapshot
    facility = authorities.site.facility(snapshot.facility_name)
    keys = tuple(_keys(study, facility, authorities, facts, told)) if facility else ()
    numbers = [one for one in subject.identity.identifiers if one.is_assigned and one.type in ("MR", "PI")]
    return OrderSearch(
        keys=keys,
        missing=("" if keys else "no-number") if facility else FACILITY_UNKNOWN,
        study_uid=(study.study_instance_uid or "").strip(),
        patient_numbers=tuple([(one.system, mrn_key(one.value)) for one in numbers]),
        person=said_of(snapshot, authorities.site).person,
        day=_day(study, subject),
        pointer=subject.pointer,
        is_disputed=any(issue.code == _CONFLICT for issue in subject.issues),
        told=frozenset(map(mrn_key, told)),
    )


def _keys(
    study: Study, facility: Facility, authorities: Authorities, facts: Facts, told: frozenset[str]
) -> Iterator[OrderKey]:
    accessions = [one for one in accession_numbers(study, authorities.site, facts) if one not in told]
    placers = [one for one in placer_order_numbers(study, authorities.site) if one not in told]
    given: dict[OrderNumberKind, list[str]] = {
        "accession": accessions,
        "placer": placers,
        "filler": _fillers(study, facts, told),
    }
    for kind, numbers in given.items():
        if system := authorities.system_of(kind, facility):
            yield from [OrderKey(kind, system, number) for number in dict.fromkeys(numbers)]
    if uid := (study.study_instance_uid or "").strip():
        yield OrderKey("study_uid", "", uid)


def _fillers(study: Study, facts: Facts, told: frozenset[str]) -> list[str]:
    """Return the filler order numbers under which its reports were sent, without those the gateway made."""
    sent = [number for numbers in facts.filler_order_numbers.values() for number in numbers]
    if not sent:
        return []
    made = {short_id(study.study_id), *(short_id(report.report_id) for report in study.reports)}
    return [number for number in sent if number not in made and number not in told]


def _day(study: Study, subject: Subject) -> date | None:
    day = parse_date(subject.snapshot.study_date) or ""
    if len(day) == _WHOLE_DATE:
        return date.fromisoformat(day)
    created = parse_instant(study.created_at)
    return created.date() if created else None


_MOST_REPLACED: Final = 10
_NO_PATIENT: Final = HospitalPatient()


@dataclass(frozen=True, slots=True)
class KnownHospital:
    """Hospital as far as it is known: orders by key, issuers of numbers, and merges.

    `orders` need hold only the orders with one of the study's keys, and those of `keys_of_group` of each.
    An order of more than so many days before or after a study belongs to another study: `order_days` by the name of its
    source, else `ORDER_DAYS`.
    """

    orders: Mapping[OrderKey, Sequence[KnownOrder]]
    authorities: Authorities
    merges: Merges = NO_MERGES
    order_days: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """Result of matching: the orders with the keys that found them; or none, with one of `REASONS`."""

    orders: tuple[KnownOrder, ...] = ()
    keys: tuple[OrderKey, ...] = ()
    reason: str = ""
    issues: tuple[MappingIssue, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Result in one word."""
        return REASONS[self.reason].verdict if self.reason else "matched"


class _HeldError(Exception):
    """Signal that ends the matching with a reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Found:
    """Groups of orders that one key found."""

    key: OrderKey
    groups: tuple[OrderGroup, ...]


def match(search: OrderSearch, known: KnownHospital, at: datetime) -> Match:
    """Match a study with its orders; `at` is the present, used as the study's day if that is unknown."""
    if search.missing:
        return Match(reason=search.missing)
    day = min(search.day, at.date() + timedelta(days=1)) if search.day else at.date()
    found, is_reused = _found(search, known, day)
    if not any(one.groups for one in found):
        has_number = any(key.kind != "study_uid" for key in search.keys)
        return Match(reason="accession-reused" if is_reused else "no-order" if has_number else "no-number")
    try:
        chosen = _chosen(search, found, known)
        issues = _uid_issues(search, chosen, known)
        answered = tuple(_answered(chosen, known))
    except _HeldError as held:
        return Match(reason=held.reason)
    if is_reused:
        action = "an order of another time has the same number: it is not this study's"
        issues = (*issues, MappingIssue("accession-reused", "information", search.pointer, action))
    if any(one.key.kind == "accession" and not one.groups for one in found):
        action = "no known order has one of the study's accession numbers: the others are answered"
        issues = (*issues, MappingIssue("order-unknown", "information", search.pointer, action))
    keys = tuple([one.key for one in found if one.groups])
    return Match(answered, keys, "", issues)


def keys_of_group(order: KnownOrder, authorities: Authorities) -> tuple[OrderKey, ...]:
    """Return further keys needed to match an order: those under its accession number, and of its replacement."""
    accession = authorities.order_key("accession", order.accession, order.source)
    return (*((accession,) if accession else ()), *_replacement_keys(order, authorities))


def _found(search: OrderSearch, known: KnownHospital, day: date) -> tuple[list[_Found], bool]:
    """Return the groups of orders by key, without orders of another time; True if there were such."""
    found, is_reused = [], False
    for key in search.keys:
        hits = known.orders.get(key, ())
        now = [order for order in hits if not is_of_other_time(order, day, known)]
        is_reused = is_reused or len(now) < len(hits)
        found.append(_Found(key, _groups_of(now, known, day)))
    return found, is_reused


def is_of_other_time(order: KnownOrder, day: date, known: KnownHospital) -> bool:
    """True for an order that ended or was last heard of too long before the study, or begins too long after."""
    return is_apart(order, day, known.order_days.get(order.source.name, ORDER_DAYS))


def _groups_of(hits: Sequence[KnownOrder], known: KnownHospital, day: date) -> tuple[OrderGroup, ...]:
    """Return the groups of the orders that a key found, with all orders under their accession numbers."""
    every: list[KnownOrder] = []
    for order in hits:
        accession = known.authorities.order_key("accession", order.accession, order.source)
        siblings = known.orders.get(accession, ()) if accession else ()
        for one in (*siblings, order):
            if one not in every and not is_of_other_time(one, day, known):
                every.append(one)
    made = groups(every, known.authorities, known.merges)
    return tuple([group for group in made if any(order in group.orders for order in hits)])


def _chosen(search: OrderSearch, found: Sequence[_Found], known: KnownHospital) -> tuple[OrderGroup, ...]:
    """Return the groups that the study answers: those of its accession numbers, if its other numbers agree.

    Raises:
        _HeldError: no group, or more than one, fits.
    """
    if search.is_disputed:
        raise _HeldError("identity-conflict")
    chosen: list[OrderGroup] = []
    for kind in ("accession", "placer", "filler", "study_uid"):
        of_kind = [one for one in found if one.key.kind == kind and one.groups]
        if chosen and not all(any(_is_one_of(group, chosen) for group in one.groups) for one in of_kind):
            raise _HeldError("keys-disagree")
        if not chosen:
            chosen = [_fitting(search, one.groups, known) for one in of_kind]
    _refuse_other_numbers(search, chosen, known)
    _refuse_two_patients(chosen)
    return tuple([group for place, group in enumerate(chosen) if not _is_one_of(group, chosen[:place])])


def _is_one_of(group: OrderGroup, others: Sequence[OrderGroup]) -> bool:
    return any(order in other.orders for order in group.orders for other in others)


def _fitting(search: OrderSearch, given: Sequence[OrderGroup], known: KnownHospital) -> OrderGroup:
    """Return the one group that fits; of several, only one may have the study's patient number.

    A group of cancelled orders gives way to one that stands, unless it alone has the study's patient number.

    Raises:
        _HeldError: none fits, or several do.
    """
    agreements = [_compared(search, group, known) for group in given]
    standing = [place for place, group in enumerate(given) if not group.is_void] or [*range(len(given))]
    agreeing = [place for place in standing if agreements[place] == "agrees"]
    if len(standing) > 1 and (len(agreeing) != 1 or any(agreements[place] == "silent" for place in standing)):
        raise _HeldError("several-groups")
    if not agreeing and len(given) > 1 and "agrees" in agreements:
        raise _HeldError("several-groups")
    fitting = given[(agreeing or standing)[0]]
    if reason := _against(search, fitting, known):
        raise _HeldError(reason)
    return fitting


def _against(search: OrderSearch, group: OrderGroup, known: KnownHospital) -> str:
    """Return why a group is not the study's; empty if it may be."""
    if group.is_contradictory:
        return "group-contradictory"
    if group.may_be_cancelled:
        return "cancel-in-doubt"
    if known.merges.doubtful and any(map(known.merges.is_doubtful, _numbers(search, group, known))):
        return "merge-held"
    if _compared(search, group, known) == "differs":
        return "patient-number-differs"
    return "patient-conflict" if any(_describes_other(one, search) for one in group.standing) else ""


def _describes_other(order: KnownOrder, search: OrderSearch) -> bool:
    """True if an order describes another person than the study, now or before a correction by the hospital."""
    if not are_different(search.person, order.patient):
        return False
    return order.was == _NO_PATIENT or are_different(search.person, order.was)


def _compared(search: OrderSearch, group: OrderGroup, known: KnownHospital) -> Agreement:
    """Compare the study's patient numbers with a group's; a difference under one authority is enough.

    The type of a study's number is not known: it is compared under each type that the hospital gives. A number that
    AutoScribe has from the gateway can differ only.
    """
    answers: set[Agreement] = set()
    for system, value in search.patient_numbers:
        theirs = frozenset(number for number in group.numbers if number.authority == system)
        ours = frozenset(known.merges.survivor(one._replace(value=value)) for one in theirs)
        if theirs:
            answers.add(("silent" if value in search.told else "agrees") if ours & theirs else "differs")
    if "differs" in answers:
        return "differs"
    return "agrees" if "agrees" in answers else "silent"


def _numbers(search: OrderSearch, group: OrderGroup, known: KnownHospital) -> Iterator[HospitalNumber]:
    """Yield the numbers compared: the group's as its orders have them, and the study's."""
    for order in group.orders:
        yield from known.authorities.patient_numbers(order.patient.numbers, order.source)
    for system, value in search.patient_numbers:
        yield from (number._replace(value=value) for number in group.numbers if number.authority == system)


def _refuse_other_numbers(search: OrderSearch, chosen: Sequence[OrderGroup], known: KnownHospital) -> None:
    """Refuse groups whose accession or placer number differs from the study's under the same authority.

    Raises:
        _HeldError: such a group is there.
    """
    theirs = {key for group in chosen for order in group.orders for key in order_keys(order, known.authorities)}
    for kind in ("accession", "placer"):
        ours = [key for key in search.keys if key.kind == kind]
        systems = {key.authority for key in ours}
        stated = {key for key in theirs if key.kind == kind and key.authority in systems}
        if stated and stated.isdisjoint(ours):
            raise _HeldError("keys-disagree")


def _refuse_two_patients(chosen: Sequence[OrderGroup]) -> None:
    """Refuse groups of different accession numbers that are about different patients.

    Raises:
        _HeldError: two groups have different patients.
    """
    for place, one in enumerate(chosen):
        for other in chosen[:place]:
            if compare_numbers(one.numbers, other.numbers) == "differs":
                raise _HeldError("several-groups")
            if are_different(hospital_person(one.orders[0].patient), other.orders[0].patient):
                raise _HeldError("group-contradictory")


def _uid_issues(search: OrderSearch, chosen: Sequence[OrderGroup], known: KnownHospital) -> tuple[MappingIssue, ...]:
    """Yield issues for a study UID that differs from the orders'.

    Raises:
        _HeldError: nothing shows that the patient is the same.
    """
    uids = {uid for group in chosen for order in group.orders for uid in order.study_uids}
    if not uids or not search.study_uid or search.study_uid in uids:
        return ()
    for group in chosen:
        is_alike = any(are_alike(search.person, hospital_person(order.patient)) for order in group.orders)
        if not is_alike and _compared(search, group, known) != "agrees":
            raise _HeldError("study-uid-differs")
    action = "the order names another study UID: accession and patient agree, so it is the study's"
    return (MappingIssue("study-uid-differs", "information", "/studyInstanceUid", action),)


def _answered(chosen: Iterable[OrderGroup], known: KnownHospital) -> Iterator[KnownOrder]:
    """Yield the group's standing orders, and those that replaced others.

    Raises:
        _HeldError: all orders of a group were cancelled.
    """
    for group in chosen:
        orders = group.standing
        if group.is_void:
            orders = tuple([one for order in group.orders for one in _replacements(order, group, known)])
        if not orders:
            raise _HeldError("order-cancelled")
        yield from _distinct(orders, known.authorities)


def _distinct(orders: Iterable[KnownOrder], authorities: Authorities) -> Iterator[KnownOrder]:
    """Yield each order once: two senders may report one order."""
    made: list[tuple[dict[str, OrderKey], KnownOrder]] = []
    for order in orders:
        keys = order_keys(order, authorities)
        numbers: dict[str, OrderKey] = {key.kind: key for key in keys if key.kind in ("placer", "filler")}
        same = next((place for place, (other, _) in enumerate(made) if _is_same(numbers, other)), None)
        if same is None:
            made.append((numbers, order))
        else:
            made[same] = ({**numbers, **made[same][0]}, combined(made[same][1], order))
    yield from (order for _, order in made)


def _is_same(one: Mapping[str, OrderKey], other: Mapping[str, OrderKey]) -> bool:
    shared = one.keys() & other.keys()
    return bool(shared) and all(one[kind] == other[kind] for kind in shared)


def _replacements(order: KnownOrder, group: OrderGroup, known: KnownHospital) -> list[KnownOrder]:
    """Return the standing orders of the same patient that replace a replaced order, by ORC-8."""
    heirs = [order]
    for _ in range(_MOST_REPLACED):
        keys = [key for one in heirs for key in _replacement_keys(one, known.authorities)]
        heirs = [one for key in dict.fromkeys(keys) for one in known.orders.get(key, ())]
        numbers = [groups([one], known.authorities, known.merges)[0].numbers for one in heirs]
        if not all(compare_numbers(each, group.numbers) == "agrees" for each in numbers):
            return []
        if live := [one for one in heirs if not one.is_void]:
            return live
    return []


def _replacement_keys(order: KnownOrder, authorities: Authorities) -> tuple[OrderKey, ...]:
    placer, filler = order.replaced_by
    keys = (
        authorities.order_key("placer", placer, order.source),
        authorities.order_key("filler", filler, order.source),
    )
    return tuple([key for key in keys if key])


def against_operator(search: OrderSearch, orders: Sequence[KnownOrder], known: KnownHospital) -> str:
    """Return why even an operator may not match these orders with the study; empty if they may.

    No operator files a result under another patient: the patient numbers must not differ. Name, birth date and sex may
    contradict only where a patient number agrees.
    """
    chosen = groups(orders, known.authorities, known.merges)
    try:
        _refuse_two_patients(chosen)
    except _HeldError as held:
        return held.reason
    reasons = ["identity-conflict"] if search.is_disputed else []
    for group in chosen:
        reason = "order-cancelled" if group.is_void else _against(search, group, known)
        is_overruled = reason == "patient-conflict" and _compared(search, group, known) == "agrees"
        reasons += [reason] if reason and not is_overruled else []
    return next(iter(reasons), "")
