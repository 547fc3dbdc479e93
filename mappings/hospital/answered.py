"""Make facts for the mappings of the orders that a study answers, and of the numbers that merges made one.

HL7 v2.5.1 §2.A.36 (HD), §3.4.3 (PV1), decisions D11, D48. A number is stated only together with its authority, by the
names that the settings have for it. A visit is stated as it was at the time of the study.
Proved by tests/mappings/hospital/test_answered.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from mappings.answered_order import (
    AnsweredOrder,
    HospitalMessageName,
    MergedNumber,
    StatedClinician,
    StatedCode,
    StatedNumber,
    StatedVisit,
)
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Clinician, CodedText, HospitalPatient, IssuedNumber, NumberKind, Visit
from mappings.hospital.groups import is_about_patient
from mappings.hospital.known_order import NO_AGE, KnownOrder, MessageAge, compared_age
from mappings.hospital.merges import Merges, ResolvedChange
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
    """Order that a study answers, with its numbers in the database: several if several senders told of it.

    The first of `numbers` is that of its newest record. `is_cancelled` is True if it was cancelled or replaced since.
    """

    numbers: tuple[int, ...]
    order: KnownOrder
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class VisitEvent:
    """Visit as one message states it; `at` is the time of the event, and `age` the message's.

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
    """Change of a number that is used, with the surviving number as the hospital wrote it."""

    change: ResolvedChange
    surviving_text: str
    message: HospitalMessageName


@dataclass(frozen=True, slots=True)
class HospitalRecords:
    """Records of a hospital beside its orders: events of visits by visit number, and changes of numbers."""

    authorities: Authorities
    visits: Mapping[HospitalNumber, Sequence[VisitEvent]]
    merges: Merges
    changes: Sequence[AppliedChange] = ()

    def surviving_text(self, number: HospitalNumber) -> str:
        """Return the number that stands for this one, as the hospital wrote it; empty if it never gave way."""
        end = self.merges.survivor(number)
        if end == number:
            return ""
        return next((one.surviving_text for one in reversed(self.changes) if one.change.surviving == end), end.value)


def answered_orders(
    matched: Iterable[MatchedOrder], records: HospitalRecords, at: datetime
) -> tuple[AnsweredOrder, ...]:
    """Return matched orders as facts; `at` is the time of the study, as of which visits are stated."""
    return tuple([_answered(one, records, at) for one in matched])


def merged_numbers(records: HospitalRecords, numbers: Iterable[tuple[str, str]]) -> tuple[MergedNumber, ...]:
    """Return the changes that lead to where these patient numbers lead: systems with values for comparison.

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
    """Return the kinds of an order's numbers that have no authority: they match nothing, or are not stated."""
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
    """Return a number with its authority; None without a number, or without an authority that is known or named."""
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
    """State the visit of an order as of the study; one that was cancelled then has no class and no place."""
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
    """Return a number of a visit or an account, the surviving one if it was changed."""
    made = stated_number(kind, number, records.authorities, source)
    if number is None or made is None:
        return None
    text = records.surviving_text(records.authorities.number(kind, number, source))
    return replace(made, value=text) if text else made


def _is_refused(event: VisitEvent, matched: MatchedOrder) -> bool:
    """True if an event that is not about an order's patient was read beside that order."""
    return not event.refused_by or not set(event.refused_by).isdisjoint(matched.numbers)


def _own_event(order: KnownOrder, records: HospitalRecords) -> VisitEvent | None:
    """Return the visit as the order's own messages state it; None if they said it of another patient before."""
    if order.visit is None:
        return None
    told = order.content_of
    at = told.times[0] if told.times else order.last_at
    message = HospitalMessageName(order.source.name, told.control_id)
    event = VisitEvent(at, order.visit, message, told, order.visit_of, order.source)
    return event if event.is_of(order, records) else None


def _told(order: KnownOrder, own: VisitEvent | None, records: HospitalRecords) -> list[VisitEvent]:
    """Return all events under the numbers of an order's visit, whoever they are about."""
    key = records.authorities.key_of("visit", own.visit.number, order.source) if own else None
    if key is None:
        return []
    end = records.merges.survivor(key)
    return [
        one for number, events in records.visits.items() if records.merges.survivor(number) == end for one in events
    ]


def _in_order(events: Sequence[VisitEvent]) -> list[VisitEvent]:
    """Return events oldest first, without those that are overtaken."""
    return sorted([one for one in events if not _is_overtaken(one, events)], key=lambda one: one.at)


def _is_overtaken(one: VisitEvent, events: Iterable[VisitEvent]) -> bool:
    """True if a newer message tells of an earlier event: one that only says how the visit is, did not know of it yet.

    A visit message may be sent long after its event, and an order message in between.
    """
    return not one.visit.state and any(
        other.visit.state and other.at <= one.at and compared_age(other.age, one.age) == "older" for other in events
    )


def _as_of(events: Sequence[VisitEvent], at: datetime) -> VisitEvent | None:
    """Return the last event at or before that time, else the first after it; empty fields are as they were before."""
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
