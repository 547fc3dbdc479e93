"""List all ORU^R01 messages that one event (signed, corrected, …) causes, in sending order, and write each.

HL7 v2.5.1 §7.3.1: MSH { PID [PV1] { [ORC] OBR {NTE} {TQ1} { OBX {NTE} } } }, then ZDS; one message a result. Several
orders read as one report have a group each, with the same observations. Decisions D18, D28, D32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mappings.hl7v2.charset import encoded
from mappings.hl7v2.msh import MSH_LAYOUTS
from mappings.hl7v2.nte import disclaimer_segments
from mappings.hl7v2.obr import OBR_LAYOUTS
from mappings.hl7v2.obx import observation_segments
from mappings.hl7v2.orc import ORC_LAYOUTS
from mappings.hl7v2.pid import PID_LAYOUTS
from mappings.hl7v2.pv1 import PV1_LAYOUTS
from mappings.hl7v2.rendering import (
    AskedMessage,
    MessagePlace,
    Rendering,
    pdf_number,
    place,
    rendered,
    rendering,
    signed_subjects,
)
from mappings.hl7v2.result import Result
from mappings.hl7v2.tq1 import timing_segments
from mappings.hl7v2.zds import image_segments
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, MappedMessage, Study
from mappings.patient.subjects import Subject
from mappings.profile import Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.orders import common_visit, messages_by_accession

_NO_FACTS: Final = Facts()


def to_oru(  # noqa: PLR0913 (the signature of the entry point is fixed)
    study: Study,
    cause: Cause,
    site: Site,
    receiver: Receiver,
    facts: Facts = _NO_FACTS,
    *,
    control_id: str,
    at: datetime,
) -> MappedMessage:
    """Map a cause to its ORU^R01, by the receiver's profile; None with the reason if nothing is sent.

    `control_id` is MSH-10 (see `message_control_id`), `at` the aware time of rendering (MSH-7).
    `mappings.hl7v2.rendering` selects the reports, `messages` lists the messages of a cause.
    """
    asked = AskedMessage(study, cause, site, receiver, facts)
    return oru_of(rendering(*asked), asked, control_id=control_id, at=at)


def oru_of(
    made: Rendering | MappingIssue, asked: AskedMessage, *, control_id: str, at: datetime, reuse: Reuse = NO_REUSE
) -> MappedMessage:
    """Write the ORU^R01 of a rendering, as `to_oru` does."""
    study, cause, site, receiver, facts = asked
    if isinstance(made, MappingIssue):
        return MappedMessage(None, (made,))
    filed = made.place
    if not filed.orders:
        return MappedMessage(None, tuple(dict.fromkeys(filed.issues)))
    visit, doubts = common_visit(order.answered for order in filed.orders)
    result = Result(
        study=study,
        cause=cause,
        site=site,
        receiver=receiver,
        facts=facts,
        control_id=control_id,
        at=at,
        subject=made.subject,
        lead=filed.lead,
        peers=filed.peers,
        status=made.status,
        facility=site.facility(filed.lead.snapshot.facility_name),
        order=filed.orders[0],
        filler_order_number=filed.filler_order_numbers[0],
        parent_filler=filed.parent_fillers[0],
        own_numbers=filed.made,
        visit=visit,
        issues=[*made.issues, *doubts],
        reuse=reuse,
    )
    groups = [result]
    for number, order in enumerate(filed.orders[1:], 1):
        groups.append(
            result.of_order(order, filed.filler_order_numbers[number], filed.parent_fillers[number], number + 1)
        )
    segments = _segments(groups)
    if cause.part == "pdf" and not any(segment.startswith("OBX") for segment in segments):
        result.note("pdf-message-empty", "information", filed.lead.pointer, "no PDF to send: no message of its own")
        return MappedMessage(None, tuple(dict.fromkeys(result.issues)))
    message = encoded(segments, receiver)
    issues = tuple(dict.fromkeys((*result.issues, *message.issues)))
    return MappedMessage(message.output, issues, max(result.reported.values(), default=None))


def _segments(groups: Sequence[Result]) -> list[str]:
    first = groups[0]
    version = first.receiver.version
    segments = [layout[version].render(first) for layout in (MSH_LAYOUTS, PID_LAYOUTS, PV1_LAYOUTS)]
    for result in groups:
        segments.append(ORC_LAYOUTS[version].render(result))
        segments.append(OBR_LAYOUTS[version].render(result))
        segments += disclaimer_segments(result)
        segments += timing_segments(result)
        segments += observation_segments(result)
    return segments + image_segments(first)


Subjects = Mapping[str, Subject]


def filler_order_numbers(
    study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts = _NO_FACTS
) -> tuple[str, ...]:
    """EI.1 of OBR-3 in each order of a cause's message; empty if there is nothing to send.

    Messages already sent do not affect it: `Cause.sent_before` depends on these numbers.
    """
    placement = place(AskedMessage(study, cause, site, receiver, facts))
    return () if isinstance(placement, MappingIssue) else placement.filler_order_numbers


def messages(  # noqa: PLR0913 (arguments of the entry point and of the feed)
    study: Study,
    cause: Cause,
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    sent: AbstractSet[str] = frozenset(),
) -> tuple[Cause, ...]:
    """Causes of all messages of one cause, in sending order.

    One for each accession number if the receiver wants that, then those with the PDF if it wants the PDF separately.
    Whether there is anything to send, and a PDF, is decided by `to_oru` during rendering. `sent` are the filler order
    numbers under which a signed report was sent.
    """
    return _messages(AskedMessage(study, cause, site, receiver, facts), sent, None)


def _messages(asked: AskedMessage, sent: AbstractSet[str], signed: Subjects | None) -> tuple[Cause, ...]:
    causes = _causes_by_order(asked, signed)
    if asked.receiver.pdf == "separate_message" and asked.cause.part == "report" and not asked.cause.is_of_draft:
        documents = _documents(asked, sent, signed)
        causes += tuple(replace(one, part="pdf", document=document) for document in documents for one in causes)
    return causes


def _documents(asked: AskedMessage, sent: AbstractSet[str], signed: Subjects | None) -> tuple[str, ...]:
    """Report ids whose PDF is sent, "" for the report itself: an addendum's PDF goes with that of its originals.

    It stands alone if addenda have orders of their own, if there is no original, and if it was sent alone before.
    """
    cause, alone = asked.cause, ("",)
    every = (*asked.study.reports, *asked.facts.gone)
    is_addendum = any(one.report_id == cause.report_id and one.is_addendum for one in every)
    placed = place(asked, signed)
    if not is_addendum or asked.receiver.addendum == "new_order" or isinstance(placed, MappingIssue):
        return alone
    originals = tuple(one.report_id for one in placed.peers if one.is_completed and not one.is_addendum)
    return originals + (alone if not originals or pdf_number(cause.report_id) in sent else ())


def _causes_by_order(asked: AskedMessage, signed: Subjects | None) -> tuple[Cause, ...]:
    """Causes of one message per order, if the receiver wants that and the cause names no order.

    A message that was held without an accession number is split in the same way: there may be several orders.
    """
    cause = asked.cause
    if asked.receiver.accessions != "messages" or cause.accession_number:
        return (cause,)
    placement = place(asked, signed)
    if isinstance(placement, MappingIssue):
        return (cause,)
    numbers = messages_by_accession(placement.known)
    return tuple(replace(cause, accession_number=one) for one in numbers) if len(numbers) > 1 else (cause,)


@dataclass(frozen=True, slots=True)
class Queued:
    """Message to queue: its cause, and in `made` its rendering or the reason that nothing is sent.

    A later whole message with the same `key` replaces this one; `key` is None if nothing is sent. `carried` are the ids
    of the reports in a full restatement, which then need no other message.
    """

    key: tuple[str, str] | None
    cause: Cause
    made: Rendering | MappingIssue
    carried: frozenset[str] = frozenset()


def messages_of_all(  # noqa: PLR0913 (arguments of the entry point and of the feed)
    study: Study,
    causes: Iterable[Cause],
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    sent: AbstractSet[str] | None = None,
) -> tuple[Cause, ...]:
    """Causes of all messages of `renderings_of_all`, in order."""
    return tuple(one.cause for one in renderings_of_all(study, causes, site, receiver, facts, sent=sent))


def renderings_of_all(  # noqa: PLR0913 (arguments of the entry point and of the feed)
    study: Study,
    causes: Iterable[Cause],
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    sent: AbstractSet[str] | None = None,
    reuse: Reuse = NO_REUSE,
) -> tuple[Queued, ...]:
    """Render all messages of several simultaneous causes, in order.

    Messages that a full restatement of the same order repeats are left out (D32: none was sent yet), before and after
    it. A message after another one about a signed report, under its filler order number, has `sent_before`. `sent` are
    the filler order numbers under which a signed report was sent to the destination (not a withdrawn draft). If given,
    they decide `sent_before` of each message; otherwise its cause does.
    """
    queued: list[Queued] = []
    known, signed = sent or frozenset(), signed_subjects(study, site, facts, reuse)
    each = (AskedMessage(study, cause, site, receiver, facts) for cause in causes)
    for asked in (one._replace(cause=message) for one in each for message in _messages(one, known, signed)):
        placed = place(asked, signed)
        if isinstance(placed, MappingIssue):
            queued.append(Queued(None, asked.cause, placed))
            continue
        is_after = asked.cause.sent_before if sent is None else not sent.isdisjoint(placed.filler_order_numbers)
        cause = replace(asked.cause, sent_before=is_after)
        queued = _queue_with(queued, asked._replace(cause=cause), placed)
    return tuple(queued)


def _queue_with(queued: list[Queued], asked: AskedMessage, placed: MessagePlace) -> list[Queued]:
    """Add one message to the queue and drop those that it replaces; leave the queue unchanged if it adds nothing."""
    first = asked.cause
    key = placed.number, first.accession_number
    before = [other for other in queued if other.key == key]
    is_behind = not all(other.cause.is_of_draft for other in before)
    later = replace(first, sent_before=first.sent_before or is_behind)
    made = rendered(asked._replace(cause=later), placed)
    if isinstance(made, MappingIssue):
        return [*queued, Queued(None, later, made)]
    carried = frozenset(report.report_id for report in made.subject.reports) if made.is_whole else frozenset()
    if before and made.is_whole:
        instead = replace(first, sent_before=first.sent_before or before[0].cause.sent_before)
        alone = rendered(asked._replace(cause=instead), placed)
        if isinstance(alone, MappingIssue) and made.status.diagnostic_report != "entered-in-error":
            return [*queued, Queued(None, instead, alone)]
        if isinstance(alone, MappingIssue) or alone.is_whole:
            return [*(other for other in queued if other.key != key), Queued(key, instead, alone, carried)]
    is_said = first.is_signature and any(first.report_id in other.carried for other in before)
    return queued if is_said else [*queued, Queued(key, later, made, carried)]
