"""List and render all HL7 v2 messages that one event (signed, corrected, …) causes, in sending order.

HL7 v2.5.1 §7.3.1 (one message a result), decisions D18, D28, D32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from mappings.hl7v2.place import AskedMessage, MessagePlace, pdf_number, place, signed_subjects
from mappings.hl7v2.rendering import Rendering, rendered
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Study
from mappings.patient.subjects import Subject
from mappings.profile import Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.orders import messages_by_accession

Subjects = Mapping[str, Subject]
_NO_FACTS: Final = Facts()


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
    """A message to be queued: its cause, and `made`, its rendering or the reason that nothing is sent.

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
