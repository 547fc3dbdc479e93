"""How many messages a cause asks for, and which of several causes need one of their own.

HL7 v2.5.1 §7.3.1 (one message a result), decisions D18, D28, D32.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from mappings.hl7v2.place import AskedMessage, MessagePlace, pdf_number, place
from mappings.hl7v2.rendering import Rendering, rendered
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site

_NO_FACTS: Final = Facts()


def filler_order_numbers(
    study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts = _NO_FACTS
) -> tuple[str, ...]:
    """EI.1 of OBR-3 in each order of the message that a cause asks for; none where there is nothing to be sent.

    What was sent before has no part in it: whether anything was sent under them makes `Cause.sent_before`.
    """
    found = place(AskedMessage(study, cause, site, receiver, facts))
    return () if isinstance(found, MappingIssue) else found.filler_order_numbers


def messages(  # noqa: PLR0913 (what the door has, and what the feed knows)
    study: Study,
    cause: Cause,
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    sent: AbstractSet[str] = frozenset(),
) -> tuple[Cause, ...]:
    """The causes of all messages that one cause asks for, in the order in which they are sent.

    One for each accession number where the receiver wants that, then those with the PDF where it wants that apart.
    Whether there is anything to send, and a PDF, `to_oru` says when it renders them. `sent` are the filler order
    numbers under which a signed report was sent.
    """
    causes = _in_orders(study, cause, site, receiver, facts)
    if receiver.pdf == "separate_message" and cause.part == "report" and not cause.is_of_draft:
        documents = _documents(AskedMessage(study, cause, site, receiver, facts), sent)
        causes += tuple(replace(one, part="pdf", document=document) for document in documents for one in causes)
    return causes


def _documents(asked: AskedMessage, sent: AbstractSet[str]) -> tuple[str, ...]:
    """Whose PDF is sent, "" for that of the report itself: an addendum's goes with that of each report it adds to.

    It stands alone where addenda have orders of their own, where there is no such report, and where it once did.
    """
    cause, alone = asked.cause, ("",)
    every = (*asked.study.reports, *asked.facts.gone)
    is_addendum = any(one.report_id == cause.report_id and one.is_addendum for one in every)
    found = place(asked)
    if not is_addendum or asked.receiver.addendum == "new_order" or isinstance(found, MappingIssue):
        return alone
    originals = tuple(one.report_id for one in found.peers if one.is_completed and not one.is_addendum)
    return originals + (alone if not originals or pdf_number(cause.report_id) in sent else ())


def _in_orders(study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts) -> tuple[Cause, ...]:
    """The causes of one message for each order, where the receiver wants that and the cause names none.

    A message that was held because no accession number was known is asked for again in this way: there may be several.
    """
    if receiver.accessions != "messages" or cause.accession_number:
        return (cause,)
    found = place(AskedMessage(study, cause, site, receiver, facts))
    if isinstance(found, MappingIssue) or len(found.known) < 2:
        return (cause,)
    return tuple(replace(cause, accession_number=order.accession_number) for order in found.known)


@dataclass(frozen=True, slots=True)
class Queued:
    """A message in the making: its cause and `made`, what it says, or why nothing is sent.

    `key` is what another one of the same key restates, None where nothing is sent; `carried` are the ids of the reports
    that a restatement has, for nothing else to be said of them.
    """

    key: tuple[str, str] | None
    cause: Cause
    made: Rendering | MappingIssue
    carried: frozenset[str] = frozenset()


def messages_of_all(  # noqa: PLR0913 (what the door has, and what the feed knows)
    study: Study,
    causes: Iterable[Cause],
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    sent: AbstractSet[str] | None = None,
) -> tuple[Cause, ...]:
    """The causes of all messages of `renderings_of_all`, in order."""
    return tuple(one.cause for one in renderings_of_all(study, causes, site, receiver, facts, sent=sent))


def renderings_of_all(  # noqa: PLR0913 (what the door has, and what the feed knows)
    study: Study,
    causes: Iterable[Cause],
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    sent: AbstractSet[str] | None = None,
) -> tuple[Queued, ...]:
    """All messages that several causes found at one time ask for, in order, each with what it says.

    What a full restatement of the same order says again is left out (D32: none of it was sent yet), before it and
    behind it, and what follows another message of a signed report under its filler order number has `sent_before`.
    `sent` are the filler order numbers under which a signed report was sent to the destination, which a withdrawal of a
    draft is not; where they are given, they say `sent_before` of each message, and without them its cause does.
    """
    queued: list[Queued] = []
    known = sent or frozenset()
    for one in (message for cause in causes for message in messages(study, cause, site, receiver, facts, sent=known)):
        asked = AskedMessage(study, one, site, receiver, facts)
        found = place(asked)
        if isinstance(found, MappingIssue):
            queued.append(Queued(None, one, found))
            continue
        if sent is not None:
            asked = asked._replace(cause=replace(one, sent_before=not sent.isdisjoint(found.filler_order_numbers)))
        queued = _with(queued, asked, found)
    return tuple(queued)


def _with(queued: list[Queued], asked: AskedMessage, found: MessagePlace) -> list[Queued]:
    """The queue with one more message, without what that makes needless; as it was where that is the needless one."""
    first = asked.cause
    key = found.number, first.accession_number
    before = [other for other in queued if other.key == key]
    is_behind = not all(other.cause.is_of_draft for other in before)
    later = replace(first, sent_before=first.sent_before or is_behind)
    made = rendered(asked._replace(cause=later), found)
    if isinstance(made, MappingIssue):
        return [*queued, Queued(None, later, made)]
    carried = frozenset(report.report_id for report in made.subject.reports) if made.is_whole else frozenset()
    if before and made.is_whole:
        instead = replace(first, sent_before=first.sent_before or before[0].cause.sent_before)
        alone = rendered(asked._replace(cause=instead), found)
        if isinstance(alone, MappingIssue) and made.status.diagnostic_report != "entered-in-error":
            return [*queued, Queued(None, instead, alone)]
        if isinstance(alone, MappingIssue) or alone.is_whole:
            return [*(other for other in queued if other.key != key), Queued(key, instead, alone, carried)]
    is_said = first.is_signature and any(first.report_id in other.carried for other in before)
    return queued if is_said else [*queued, Queued(key, later, made, carried)]
