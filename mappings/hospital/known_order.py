"""Known state of one hospital order: apply the events of its messages in the order of their arrival.

HL7 v2.5.1 §4.5.1.1 (ORC-1), §4.5.1.8 (ORC-8), decision D48. Within one sender the newer message is known by its times.
It replaces what it says, and an older one adds only what is unknown. Of different senders, or without times, the one
that arrives later counts as newer, with an issue. So a duplicate changes nothing.
Proved by tests/mappings/hospital/test_known_order.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final, Literal, NamedTuple

from mappings.hospital.authorities import OrderSource
from mappings.hospital.events import (
    Clinician,
    CodedText,
    HospitalMessage,
    HospitalPatient,
    InboundIssue,
    IssuedNumber,
    OrderEvent,
    TimeField,
    Visit,
)

OrderEnd = Literal["", "cancelled", "replaced", "completed"]
Age = Literal["newer", "older", "equal", "unknown"]
"""Age of a message beside a known one; `unknown`: nothing that both have tells."""
# ORC-5 of table 0038: the order is completed
_COMPLETED: Final = "CM"
ORDER_DAYS: Final = 400  # between an order and a study, unless the settings of its source say otherwise
_NUMBER_PLACE: Final = re.compile(r"(ORC|OBR)(\[\d+\])?-[23](\[\d+\])?")
_NO_PATIENT: Final = HospitalPatient()
_NO_CODE: Final = CodedText()


@dataclass(frozen=True, slots=True)
class MessageAge:
    """Sender and times of a message (best time first), to tell which of two messages of one sender is newer.

    `timed_by` names the field of each time: only times of one field tell which message is newer. `control_id` is
    MSH-10.
    """

    sender: tuple[str, str] = ("", "")
    times: tuple[datetime, ...] = ()
    timed_by: tuple[TimeField, ...] = ()
    control_id: str = ""


NO_AGE: Final = MessageAge()


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """Hospital order as far as it is known. An unknown text is empty.

    `content_of` is the newest message whose content was applied, `state_of` the newest that said if the order stands: a
    cancellation says nothing new beside that. `patient_of` is the newest that described the patient. `first_at` and
    `last_at` are the times of the oldest and of the newest message. `ended` says how the order ended at `ended_at`; it
    is empty while the order stands. `replaced_by` are the numbers of the order that takes its place.
    `visit_of` is the patient of the message that stated the visit. `was` is the patient before a message corrected the
    birth date or the sex: a study may have either.
    `is_named_by_accession` if a message about it had the accession number and no order number, `has_unread_number` if
    one had an order number that cannot be read.
    """

    source: OrderSource
    content_of: MessageAge
    state_of: MessageAge
    first_at: datetime
    last_at: datetime
    placer: IssuedNumber | None = None
    filler: IssuedNumber | None = None
    accession: IssuedNumber | None = None
    group: IssuedNumber | None = None
    study_uids: tuple[str, ...] = ()
    patient: HospitalPatient = _NO_PATIENT
    visit: Visit | None = None
    procedure: CodedText = _NO_CODE
    section: str = ""
    priority: str = ""
    ordering: tuple[Clinician, ...] = ()
    indication: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ended: OrderEnd = ""
    ended_at: datetime | None = None
    replaced_by: tuple[IssuedNumber | None, IssuedNumber | None] = (None, None)
    """Placer and filler order number."""
    patient_of: MessageAge = MessageAge()
    visit_of: HospitalPatient = _NO_PATIENT
    was: HospitalPatient = _NO_PATIENT
    is_named_by_accession: bool = False
    has_unread_number: bool = False

    @property
    def is_void(self) -> bool:
        """True for a cancelled or replaced order, which no report answers."""
        return self.ended in ("cancelled", "replaced")


class Applied(NamedTuple):
    """Order after an event, with issues; no order if the event ends one that is unknown."""

    order: KnownOrder | None
    issues: tuple[InboundIssue, ...] = ()


_CONTENT: Final = (
    *("placer", "filler", "accession", "group", "study_uids", "patient", "visit", "procedure", "section"),
    *("priority", "ordering", "indication", "notes"),
)
# Field that a message can delete (`""`) -> what is then unknown
_DELETED_BY: Final = {
    **dict.fromkeys(("OBR-18", "OBR-19", "OBR-20"), "accession"),
    **dict.fromkeys(("ORC-12", "OBR-16"), "ordering"),
    **dict.fromkeys(("OBR-31", "OBR-13"), "indication"),
    "ORC-4": "group",
    "OBR-4": "procedure",
    "OBR-24": "section",
    "OBR-27": "priority",
}


def applied(
    known: KnownOrder | None, event: OrderEvent, message: HospitalMessage, source: OrderSource, arrived: datetime
) -> Applied:
    """Apply one event of a message to an order; `known` is None for the first event of the order.

    The caller finds the order of an event by its numbers, and drops a message that is a duplicate byte for byte.
    """
    if event.effect == "nothing":
        return Applied(known)
    stated = _stated(event, message, source, arrived)
    unlinked = _unlinked(event, message)
    if known is None:
        return Applied(stated, unlinked)
    if event.effect == "number":
        return _numbered(known, stated)
    this = message_age(message)
    content_age, state_age = compared_age(known.content_of, this), compared_age(known.state_of, this)
    is_newer = content_age != "older" and not stated.is_void
    deleted = {_DELETED_BY[field] for field in event.deleted if field in _DELETED_BY}
    order = _filled(stated, known, deleted) if is_newer else _filled(known, stated)
    if is_newer and _has_newer_patient(known, this):
        order = _with_patient_of(known, order)
    is_revived = state_age == "equal" and known.is_void and not stated.is_void
    order = _ended(order, known, known if state_age == "older" or is_revived else stated, event)
    first, last = min(known.first_at, stated.first_at), max(known.last_at, stated.last_at)
    order = _as_named(replace(order, first_at=first, last_at=last), known, stated)
    is_by_arrival = not {"unknown", "equal"}.isdisjoint((content_age, state_age)) and _content(order) != _content(known)
    return Applied(order, (*unlinked, InboundIssue("order-by-arrival", "MSH-7")) if is_by_arrival else unlinked)


def unread_number(issues: Iterable[InboundIssue]) -> str:
    """Return the issue code for an order number that cannot be read; empty if there is none."""
    return next((one.code for one in issues if _NUMBER_PLACE.fullmatch(one.place)), "")


def combined(one: KnownOrder, other: KnownOrder) -> KnownOrder:
    """Combine two records of one order, such as those of two senders; the newer one counts where both say something."""
    newer, older = (one, other) if one.last_at >= other.last_at else (other, one)
    return _filled(newer, older)


def is_apart(order: KnownOrder, day: date, most: int) -> bool:
    """True if an order ended, was last heard of, or begins more than `most` days away from a day."""
    last = order.ended_at or order.last_at
    return (day - last.date()).days > most or (order.first_at.date() - day).days > most


def is_state_newer(one: KnownOrder, other: KnownOrder) -> bool:
    """True if the first order's state is newer than the second's; at equal times, an ended state counts as newer.

    Where no field has the time of both, the times as they were stored decide: those of arrival, if there are no others.
    """
    theirs = dict(zip(other.state_of.timed_by, other.state_of.times, strict=True))
    for field, at in zip(one.state_of.timed_by, one.state_of.times, strict=True):
        if field in theirs and at != theirs[field]:
            return at > theirs[field]
    return (_state_at(one), one.is_void) > (_state_at(other), other.is_void)


def with_newer_patient(order: KnownOrder, message: HospitalMessage) -> KnownOrder | None:
    """Return an order with the age of a message about its patient; None if the known description is newer.

    Where the messages cannot be compared, such as of two senders, their best times are.
    """
    this = message_age(message)
    age = compared_age(order.patient_of, this)
    known = max([order.last_at, *order.patient_of.times[:1]])
    is_newer = age == "newer" or (age != "older" and (not this.times or this.times[0] >= known))
    return replace(order, patient_of=this) if is_newer else None


def _state_at(order: KnownOrder) -> datetime:
    return (order.ended_at if order.is_void else None) or order.last_at


def _has_newer_patient(known: KnownOrder, this: MessageAge) -> bool:
    """True if a visit message described the patient after this message of the order was sent."""
    if known.patient_of in (known.content_of, known.state_of):
        return False
    age = compared_age(known.patient_of, this)
    return age == "older" or (age == "unknown" and bool(this.times) and this.times[0] < known.patient_of.times[0])


def _with_patient_of(known: KnownOrder, order: KnownOrder) -> KnownOrder:
    """Take over what is known of an order's patient, except numbers and account, and unless it is another patient."""
    said, before = order.patient, known.patient
    if set(said.numbers).isdisjoint(before.numbers):
        return order
    named = before if before.family or before.given or before.middle else said
    patient = replace(
        said,
        family=named.family,
        given=named.given,
        middle=named.middle,
        born=before.born or said.born,
        sex=before.sex or said.sex,
    )
    return replace(order, patient=patient, patient_of=known.patient_of)


def _stated(event: OrderEvent, message: HospitalMessage, source: OrderSource, arrived: datetime) -> KnownOrder:
    """Build an order from this event only."""
    at = event.at or (message.times[0] if message.times else arrived)
    ended = _end(event)
    is_state_only = event.effect in ("cancel", "replaced", "number")
    return KnownOrder(
        source=source,
        content_of=MessageAge() if is_state_only else message_age(message),
        state_of=MessageAge() if event.effect == "number" else message_age(message),
        first_at=at,
        last_at=at,
        placer=event.placer,
        filler=event.filler,
        accession=event.accession,
        group=event.group,
        study_uids=event.study_uids,
        patient=message.patient,
        visit=message.visit,
        procedure=event.procedure,
        section=event.section,
        priority=event.priority,
        ordering=event.ordering,
        indication=event.indication,
        notes=event.notes,
        ended=ended,
        ended_at=at if ended else None,
        replaced_by=_replacement(event, message),
        patient_of=message_age(message),
        visit_of=message.patient if message.visit else _NO_PATIENT,
        is_named_by_accession=not (event.placer or event.filler or unread_number(message.issues)),
        has_unread_number=bool(unread_number(message.issues)),
    )


def _as_named(order: KnownOrder, known: KnownOrder, stated: KnownOrder) -> KnownOrder:
    """Complete an order by names that any message gave it."""
    return replace(
        order,
        is_named_by_accession=known.is_named_by_accession or stated.is_named_by_accession,
        has_unread_number=known.has_unread_number or stated.has_unread_number,
    )


def _end(event: OrderEvent) -> OrderEnd:
    if event.effect == "cancel":
        return "cancelled"
    if event.effect == "replaced":
        return "replaced"
    return "completed" if event.status == _COMPLETED else ""


def _replacement(event: OrderEvent, message: HospitalMessage) -> tuple[IssuedNumber | None, IssuedNumber | None]:
    """Return the numbers of the replacing order: in the same message, with the replaced order as parent (ORC-8)."""
    if event.effect != "replaced":
        return None, None
    for other in message.orders:
        is_child = (event.placer and other.parent_placer == event.placer) or (
            event.filler and other.parent_filler == event.filler
        )
        if is_child and other is not event:
            return other.placer, other.filler
    return None, None


def _unlinked(event: OrderEvent, message: HospitalMessage) -> tuple[InboundIssue, ...]:
    """Return the issue for a replaced or replacing order (RP, RU, RQ, RO) whose counterpart no ORC-8 names.

    HL7 v2.5.1 §4.5.1.1 (table 0119, notes on RP and RO), §4.5.1.8: nothing else says which order replaces which.
    """
    is_heir = event.control == "RO" and not (event.parent_placer or event.parent_filler)
    is_unlinked = is_heir or (event.effect == "replaced" and not any(_replacement(event, message)))
    return (InboundIssue("replacement-unlinked", "ORC-8"),) if is_unlinked else ()


def _numbered(known: KnownOrder, stated: KnownOrder) -> Applied:
    """Add the placer order number, unless one is known."""
    if known.placer and stated.placer and known.placer != stated.placer:
        return Applied(known, (InboundIssue("placer-differs", "ORC-2"),))
    return Applied(replace(known, placer=known.placer or stated.placer, filler=known.filler or stated.filler))


def message_age(message: HospitalMessage) -> MessageAge:
    """Return sender, times and MSH-10 of a message."""
    return MessageAge(message.sender, message.times, message.timed_by, message.control_id)


def compared_age(known: MessageAge, this: MessageAge) -> Age:
    """Compare the ages of two messages of one sender: by the first time that differs, best first."""
    if not this.times:
        return "unknown"
    if not known.times:
        return "newer"
    theirs = dict(zip(known.timed_by, known.times, strict=True))
    common = [(at, theirs[field]) for field, at in zip(this.timed_by, this.times, strict=True) if field in theirs]
    if known.sender != this.sender or not common:
        return "unknown"
    for one, other in common:
        if one != other:
            return "newer" if one > other else "older"
    return "equal"


def _ended(order: KnownOrder, known: KnownOrder, stated: KnownOrder, event: OrderEvent) -> KnownOrder:
    """Set whether the order stands or has ended, as the event states; a completed order stays completed."""
    source = known if known.ended == stated.ended else stated
    if known.ended == "completed" and not stated.ended and not event.status:
        source = known
    by = stated.replaced_by if any(stated.replaced_by) else known.replaced_by
    by = by if source.ended == "replaced" else (None, None)
    return replace(order, ended=source.ended, ended_at=source.ended_at, replaced_by=by, state_of=stated.state_of)


def _filled(first: KnownOrder, second: KnownOrder, deleted: Collection[str] = ()) -> KnownOrder:
    """Fill in missing values of the first order from the second, except values that the first one deleted."""
    unsaid = [name for name in _CONTENT if name not in deleted and _is_unsaid(getattr(first, name))]
    unsaid += [f"{name}_of" for name in ("patient", "visit") if name in unsaid]
    return replace(first, **{name: getattr(second, name) for name in unsaid})


def _is_unsaid(value: Any) -> bool:
    return not value or value in (_NO_PATIENT, _NO_CODE)


def _content(order: KnownOrder) -> tuple[Any, ...]:
    return (order.ended, *(getattr(order, name) for name in _CONTENT))
