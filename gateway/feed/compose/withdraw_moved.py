"""What is taken back from the patient who was told of, before reports are told of about another. Pure.

HL7 v2.5.1 tables 0123 and 0085 (`C`, `W`), decision D13. What still stands under a number about that patient is said
again without what moved; where nothing does, the study is withdrawn there as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from gateway.store.feed.moves import MOVED
from gateway.store.feed.sent import Sent
from gateway.store.studies.kept import Kept
from mappings.hl7v2 import messages
from mappings.hl7v2.outline import Outline, outline
from mappings.hl7v2.place import pdf_number
from mappings.model import Cause, CauseKind, Facts, Report
from mappings.profile import Receiver, Site


@dataclass(frozen=True, slots=True)
class Taking:
    """What is asked of the mapping: the study as it is, what was sent of it, the version of its content that moved.

    `row` is that of the outbox for which it is asked: each time has messages of its own.
    """

    known: Kept
    sent: Sent
    version: str
    row: int
    site: Site
    receiver: Receiver


@dataclass(frozen=True, slots=True)
class TakingBack:
    """A message that takes something back: the study and facts that it is made of, its cause, its outline."""

    known: Kept
    cause: Cause
    drawn: Outline


def with_sent(facts: Facts, sent: Sent) -> Facts:
    """The facts of a study with the numbers under which its texts were sent; those of PDFs sent apart are left out."""
    pdfs = {pdf_number(report_id) for report_id in sent.numbers}
    numbers = {
        report_id: tuple(number for number in found if number not in pdfs) for report_id, found in sent.numbers.items()
    }
    return replace(facts, filler_order_numbers={report_id: found for report_id, found in numbers.items() if found})


def told_of_others(drawn: Iterable[Outline], sent: Sent) -> list[tuple[str, str]]:
    """The filler order numbers that what is to be said would leave or overwrite, each with whose report was sent there.

    Those of a report that was sent about somebody else, and those that somebody else's report was sent under.
    """
    found = {
        (number, whose)
        for one in drawn
        for report_id, numbers in sent.numbers.items()
        for number, whose in numbers.items()
        if whose not in ("", one.patient_id) and (report_id in one.report_ids or number in one.filler_order_numbers)
    }
    return sorted(found)


def taken_back(asked: Taking, told: Iterable[tuple[str, str]], formers: Sequence[Kept]) -> list[TakingBack] | None:
    """What takes back what was `told` to a receiver, in order; None where it is not known how that was.

    `formers` are what the study was, the last first.
    """
    known = asked.known
    not_apart = replace(known, facts=replace(known.facts, taken_patient_ids=frozenset()))
    found: list[TakingBack] = []
    for number, patient_id in told:
        if any(number in one.drawn.filler_order_numbers and one.drawn.patient_id == patient_id for one in found):
            continue
        every = chain(_standing(asked), *(_gone(asked, former) for former in (*formers, not_apart)))
        one = next((one for one in every if _is_of(one.drawn, number, patient_id)), None)
        if one is None:
            return None
        found.append(one)
    return found


def _is_of(drawn: Outline, number: str, patient_id: str) -> bool:
    return drawn.patient_id == patient_id and number in drawn.filler_order_numbers


def _standing(asked: Taking) -> Iterator[TakingBack]:
    """What is said of the study as it is by now."""
    for report in asked.known.study.reports:
        yield from _of(asked, asked.known, report, "patient_changed" if report.is_completed else "draft")


def _gone(asked: Taking, former: Kept) -> Iterator[TakingBack]:
    """What withdraws the study as it was; of a draft, which leaves nothing behind, its number and patient alone."""
    drafts = [report for report in former.study.reports if not report.is_completed]
    for report in former.study.completed:
        yield from _of(asked, former, report, "withdrawn")
    bare = replace(former.study, reports=former.study.completed)
    without = replace(former, study=bare, facts=replace(former.facts, gone=(*former.facts.gone, *drafts)))
    for draft in drafts:
        yield from _of(asked, without, draft, "draft_cancelled")


def _of(asked: Taking, of: Kept, report: Report, kind: CauseKind) -> Iterator[TakingBack]:
    facts = with_sent(of.facts, asked.sent)
    cause = Cause(report.report_id, kind, f"{asked.version}/{MOVED}/{asked.row}", sent_before=report.is_completed)
    for one in messages(of.study, cause, asked.site, asked.receiver, facts):
        drawn = outline(of.study, one, asked.site, asked.receiver, facts)
        if isinstance(drawn, Outline):
            yield TakingBack(replace(of, facts=facts), one, drawn)
