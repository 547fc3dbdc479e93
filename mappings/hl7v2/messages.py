"""How many messages a cause asks for, and which of several causes need one of their own.

HL7 v2.5.1 §7.3.1 (one message a result), decisions D18, D28, D32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mappings.hl7v2.rendering import rendering
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Study
from mappings.orders import orders
from mappings.profile import Receiver, Site

_WITHOUT_PDF: Final = frozenset({"draft", "withdrawn"})


def messages(study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts) -> tuple[Cause, ...]:
    """The causes of all messages that one cause asks for, in the order in which they are sent.

    One for each accession number where the receiver wants that, then those with the PDF where it wants that apart. All
    share `sent_before`: it is known before the first of them is sent. Whether there is anything to send, and a PDF,
    `to_oru` says when it renders them.
    """
    causes: tuple[Cause, ...] = (cause,)
    known = orders(study, site, facts)[0]
    if receiver.accessions == "messages" and len(known) > 1:
        causes = tuple(replace(cause, accession_number=order.accession_number) for order in known)
    if receiver.pdf == "separate_message" and cause.kind not in _WITHOUT_PDF:
        causes += tuple(replace(one, part="pdf") for one in causes)
    return causes


@dataclass(frozen=True, slots=True)
class _Queued:
    """A message in the making; `place` is what another one of the same place restates, None where nothing is sent."""

    place: tuple[str, str, str] | None
    cause: Cause


def messages_of_all(
    study: Study, causes: Iterable[Cause], site: Site, receiver: Receiver, facts: Facts
) -> tuple[Cause, ...]:
    """The causes of all messages that several causes found at one time ask for, in order.

    What a later full restatement of the same order says again is left out (D32: none of it was sent yet), and what
    follows another message of a signed report under its filler order number has `sent_before`.
    """
    queued: list[_Queued] = []
    for one in (message for cause in causes for message in messages(study, cause, site, receiver, facts)):
        made = rendering(study, one, site, receiver, facts)
        if isinstance(made, MappingIssue):
            queued.append(_Queued(None, one))
            continue
        place = made.number, one.accession_number, one.part
        before = [other.cause for other in queued if other.place == place]
        later = replace(one, sent_before=one.sent_before or any(other.kind != "draft" for other in before))
        made = rendering(study, later, site, receiver, facts)
        if before and not isinstance(made, MappingIssue) and made.is_whole:
            queued = [other for other in queued if other.place != place]
            later = replace(one, sent_before=one.sent_before or before[0].sent_before)
        queued.append(_Queued(place, later))
    return tuple(one.cause for one in queued)
