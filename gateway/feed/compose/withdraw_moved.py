"""Build withdrawals under the old patient, to send before the messages of a report that moved to another patient. Pure.

HL7 v2.5.1 tables 0123 and 0085 (`C`, `W`), decision D13. If other reports of the old patient stand under the number,
they are sent again without the moved one. If none does, the study is withdrawn as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from gateway.store.database.kept import Kept
from gateway.store.feed.sent import SentState
from gateway.store.feed.states import MOVED
from mappings.hl7v2.oru_r01 import messages
from mappings.hl7v2.rendering import Outline, outline, pdf_number
from mappings.model import Cause, CauseKind, Facts, Report
from mappings.profile import Receiver, Site


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """Study as it is, what was sent of it, and the content version of the move, from which withdrawals are built.

    `row` is the number of the outbox row. It makes the MSH-10 of each attempt at the move unique. Unless the receiver
    `follows` merges, it knows each patient by the number that was sent.
    """

    known: Kept
    sent: SentState
    version: str
    row: int
    site: Site
    receiver: Receiver
    follows: bool = True


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Withdrawal to compose: study and facts to render, cause, outline, and whose text it withdraws.

    `patient_id` is the one that was sent: it differs from the outline's if the patient was merged since (D48).
    """

    known: Kept
    cause: Cause
    drawn: Outline
    patient_id: str = ""


def with_sent(facts: Facts, sent: SentState) -> Facts:
    """Add to the facts the numbers under which texts were sent, without those of separate PDFs."""
    pdfs = {pdf_number(report_id) for report_id in sent.numbers}
    numbers = {
        report_id: tuple(number for number in sent_under if number not in pdfs)
        for report_id, sent_under in sent.numbers.items()
    }
    return replace(facts, filler_order_numbers={report_id: listed for report_id, listed in numbers.items() if listed})


def numbers_of_others(outlines: Iterable[Outline], sent: SentState) -> list[tuple[str, str]]:
    """Return the filler order numbers, sent about another patient, that these messages leave behind or overwrite.

    Each comes with the patient id that it was sent for. Included are the numbers of a report that was sent for another
    patient, and numbers under which another patient's report was sent.
    """
    return sorted({one for drawn in outlines for one in _said_again(drawn, sent) if not drawn.is_about(one[1])})


def numbers_said_again(outlines: Iterable[Outline], sent: SentState) -> list[tuple[str, str]]:
    """Return the filler order numbers that these messages send again, each with the patient id it was sent for.

    A report is left out if it was withdrawn since, and then sent with its order: for a move, at the same time.
    """
    left = {report_id: under for report_id, under in sent.numbers.items() if not sent.with_order.issuperset(under)}
    return sorted({one for drawn in outlines for one in _said_again(drawn, replace(sent, numbers=left))})


def _said_again(drawn: Outline, sent: SentState) -> Iterator[tuple[str, str]]:
    for report_id, numbers in sent.numbers.items():
        for number, whose in numbers.items():
            if whose and (report_id in drawn.report_ids or number in drawn.filler_order_numbers):
                yield number, whose


def withdrawals_for(
    request: WithdrawalRequest, numbers: Iterable[tuple[str, str]], formers: Sequence[Kept]
) -> list[Withdrawal] | None:
    """Return the withdrawals for these numbers, in order; None if no known state of the study explains a number.

    `formers` are the earlier states of the study, latest first.
    """
    known = request.known
    states = list(_states(request, (*formers, _not_apart(known))))
    bare, unordered = [_without_order(one) for one in states], _told_without_order(request.sent)
    withdrawals: list[Withdrawal] = []
    for number, patient_id in numbers:
        if any(_is_of(one.drawn, number, patient_id) for one in withdrawals):
            continue
        told = bare if number in unordered else states
        candidates = chain(_standing(request), *(_gone(request, state) for state in told))
        withdrawal = next((one for one in candidates if _is_of(one.drawn, number, patient_id)), None)
        if withdrawal is None:
            return None
        withdrawals.append(replace(withdrawal, patient_id=patient_id))
    return withdrawals


def _states(request: WithdrawalRequest, states: Sequence[Kept]) -> Iterator[Kept]:
    """Yield these states of the study with the patient as the receiver knows it.

    If it follows merges, it knows the patient by the number that survives by now. If not, it knows the number that it
    was sent: that of the state, or the one from before all merges.
    """
    merged = request.known.facts.merged
    if request.follows:
        for one in states:
            known = tuple(dict.fromkeys((*merged, *one.facts.merged))) if merged else one.facts.merged
            yield replace(one, facts=replace(one.facts, merged=known))
        return
    yield from states
    for one in states:
        yield replace(one, facts=replace(one.facts, merged=(), old_numbers=()))


def withdrawals_to_refile(
    request: WithdrawalRequest, numbers: Iterable[tuple[str, str]], formers: Sequence[Kept] | None = None
) -> list[Withdrawal] | None:
    """Return the withdrawals for these numbers exactly as they were sent, with or without the order (D48).

    A receiver that follows merges knows the patient by the number that survives by now. None if something that was sent
    is not explained by the study as it is; or, of a move that was released, as it was before: `formers`. Every report
    that stands is sent again after them, so none is said to stand.
    """
    known = request.known
    states = (known,) if formers is None else _states(request, (known, *formers, _not_apart(known)))
    left, unordered = set(numbers), _told_without_order(request.sent)
    tellings = [told for one in states for told in ((_without_order(one), True), (one, False))]
    withdrawals = []
    for one, is_bare in ((one, is_bare) for told, is_bare in tellings for one in _gone(request, told)):
        withdrawn = {(number, whose) for number, whose in left if _is_of(one.drawn, number, whose)}
        if any((number in unordered) is is_bare for number, _ in withdrawn):
            withdrawals.append(replace(one, patient_id=min(whose for _, whose in withdrawn)))
            left -= withdrawn
    return None if left else withdrawals


def _not_apart(known: Kept) -> Kept:
    """Return the study with its patient's own number, even if another patient has that number."""
    return replace(known, facts=replace(known.facts, taken_patient_ids=frozenset()))


def _without_order(known: Kept) -> Kept:
    return replace(known, facts=replace(known.facts, orders=(), order_reason=""))


def _told_without_order(sent: SentState) -> set[str]:
    """Return the numbers of reports last sent without an order, and the numbers of their PDFs."""
    return {
        number for numbers in sent.numbers.values() if not sent.without_order.isdisjoint(numbers) for number in numbers
    }


def _is_of(drawn: Outline, number: str, patient_id: str) -> bool:
    return drawn.is_about(patient_id) and number in drawn.filler_order_numbers


def _standing(request: WithdrawalRequest) -> Iterator[Withdrawal]:
    """Yield withdrawals of the reports that the study still has."""
    for report in request.known.study.reports:
        yield from _of(request, request.known, report, "patient_changed" if report.is_completed else "draft")


def _gone(request: WithdrawalRequest, former: Kept) -> Iterator[Withdrawal]:
    """Yield withdrawals of the reports of an earlier state of the study.

    For a draft, which leaves no text behind, the withdrawal holds its number and patient only.
    """
    drafts = [report for report in former.study.reports if not report.is_completed]
    for report in former.study.completed:
        yield from _of(request, former, report, "withdrawn")
    bare = replace(former.study, reports=former.study.completed)
    without = replace(former, study=bare, facts=replace(former.facts, gone=(*former.facts.gone, *drafts)))
    for draft in drafts:
        yield from _of(request, without, draft, "draft_cancelled")


def _of(request: WithdrawalRequest, known: Kept, report: Report, kind: CauseKind) -> Iterator[Withdrawal]:
    facts = with_sent(known.facts, request.sent)
    cause = Cause(report.report_id, kind, f"{request.version}/{MOVED}/{request.row}", sent_before=report.is_completed)
    for part in messages(known.study, cause, request.site, request.receiver, facts):
        drawn = outline(known.study, part, request.site, request.receiver, facts)
        if isinstance(drawn, Outline):
            yield Withdrawal(replace(known, facts=facts), part, drawn if request.follows else drawn.apart())
