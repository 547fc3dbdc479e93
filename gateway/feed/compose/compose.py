"""Compose HL7 v2 messages for a study's waiting outbox rows, and decide row states. Pure; render_due.py stores both.

HL7 v2.5.1 §7.3.1 (ORU^R01), §2.15.9.10 (MSH-10); decisions D13, D18, D19, D21, D34. A message that breaks a rule of its
receiver is not sent: it is kept as a dead letter whose reason is the rule.
Proved by tests/contract/test_identity_conflict.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from gateway.feed.compose.wait_for_order import lacks_order, wait_for_order
from gateway.feed.compose.withdraw_moved import (
    Withdrawal,
    WithdrawalRequest,
    numbers_of_others,
    numbers_said_again,
    with_sent,
    withdrawals_for,
    withdrawals_to_refile,
)
from gateway.feed.payload import StudyRound
from gateway.routing import Destination
from gateway.store.database.engine import micros
from gateway.store.database.kept import Kept
from gateway.store.feed.outbox import ComposedStudy, NewMessage, SettledRow, WaitingRow
from gateway.store.feed.sent import SentState
from gateway.store.feed.states import (
    CORRECTED,
    HELD,
    MERGE_HELD,
    MERGE_MOVE,
    MERGED,
    MOVE,
    MOVED,
    REFILE_RELEASED,
    REFILED,
    RELEASED,
    RESTORED,
    UNSENT,
    WITHOUT_ORDER,
    MessageState,
)
from mappings.hl7v2.oru_r01 import oru_of, renderings_of_all
from mappings.hl7v2.received import statuses_of
from mappings.hl7v2.receiver_rules import check_rules
from mappings.hl7v2.rendering import AskedMessage, Outline, Rendering, outline, outline_of, rendering
from mappings.issues import MappingIssue, Severity
from mappings.life.changes import carried_digest
from mappings.model import Cause, Reported
from mappings.patient.identifiers import message_control_id
from mappings.profile import Site

FORMER_UNKNOWN: Final = "former-unknown"
# A message, or the settled row if no message is composed; with the codes of its warnings
_Part: TypeAlias = tuple[NewMessage | SettledRow, list[str]]


def composed(study: StudyRound, rows: Sequence[WaitingRow], site: Site, destination: Destination) -> ComposedStudy:
    """Compose the messages for the rows of a study, in order; `site` is the site profile adapted to the destination."""
    study_id, sent = study.known.study.study_id, study.sent
    moves = {row.is_move for row in rows}
    if sent.is_told and HELD in moves:
        takes_back = {False: MOVE, True: MOVE}
        return ComposedStudy(study_id, study.revision, _held(rows, MOVE), [], sent, takes_back, holds=MOVE)
    many = MERGE_MOVE if sent.is_told and MERGE_HELD in moves else ""
    if waits := many or wait_for_order(study, rows, destination.hold_until_matched):
        return ComposedStudy(study_id, study.revision, _held(rows, waits), [], sent)
    rows = sorted(rows, key=lambda row: row.kind != "signed")  # an original goes first (D19), whenever it was decided
    study = replace(study, known=replace(study.known, facts=with_sent(study.known.facts, sent)))
    composer = _RoundComposer(study, site, destination, dict(sent.reported))
    first, after, reason = composer.withdrawals(rows)
    if reason:
        return ComposedStudy(study_id, study.revision, _held(rows, reason), [], sent)
    parts = replace(composer, study=replace(study, sent=after)).parts(rows)
    settled = [_settled_row(row, parts) for row in rows]
    rendered = {row.number for row in settled if row.state == "rendered"}
    messages = [part for part in parts if isinstance(part, NewMessage) and part.outbox in rendered]
    if not moves.isdisjoint({REFILED, REFILE_RELEASED, MERGED}):  # a report is not withdrawn unless it is sent again
        broken = [one.reason for one in messages if one.state == "dead_letter"]
        if reason := next(iter([*(one.reason for one in settled if one.state == "held"), *broken]), ""):
            return ComposedStudy(study_id, study.revision, _held(rows, reason), [], sent)
        first = first if messages or any(one.reason == UNSENT for one in settled) else []
    return ComposedStudy(study_id, study.revision, settled, [*first, *messages], sent, _cancels(rows, settled))


@dataclass(frozen=True, slots=True)
class _RoundComposer:
    """Composer of the messages of one round to one destination.

    `reported` is what was told last under each filler order number, with the messages of this round.
    """

    study: StudyRound
    site: Site
    destination: Destination
    reported: dict[str, Reported]

    def parts(self, rows: Sequence[WaitingRow]) -> list[NewMessage | SettledRow]:
        """Compose the messages of these rows; a row without a message gives its settled state instead."""
        known, sent = self.study.known, self.study.sent.signed
        by_cause = {_key(row): row for row in rows}
        causes = [_cause(row) for row in rows]
        rendered = renderings_of_all(known.study, causes, self.site, self.destination.receiver, known.facts, sent=sent)
        return _remarked(self._message(known, one.cause, by_cause[_key(one.cause)], one.made) for one in rendered)

    def withdrawals(self, rows: Sequence[WaitingRow]) -> tuple[list[NewMessage], SentState, str]:
        """Build the withdrawals that a released move sends before its own messages (D13).

        These are the withdrawals to send first, what counts as sent after them, and the reason if the move stays held.
        """
        known, sent, receiver = self.study.known, self.study.sent, self.destination.receiver
        refiled = [row for row in rows if row.is_move in {REFILED, REFILE_RELEASED}]
        released = [row for row in rows if row.is_move in {RELEASED, CORRECTED, MERGED, REFILE_RELEASED}]
        is_corrected = any(row.is_move == CORRECTED for row in released)
        if not (refiled or released):
            return [], sent, ""
        made = [outline(known.study, _cause(row), self.site, receiver, known.facts) for row in rows]
        outlines = [self._known(one) for one in made if isinstance(one, Outline)]
        if refiled and not is_corrected:
            return self._refiled(refiled[-1], outlines, is_released=bool(released))
        others = numbers_of_others(outlines, sent)
        after = sent.without([number for number, _ in others])
        if is_corrected:
            return [], after, ""
        row = released[-1]
        return self._withdrawn(withdrawals_for(self._request(row), others, self.study.formers), after, row)

    def _request(self, row: WaitingRow) -> WithdrawalRequest:
        about = row.content_version, row.number, self.site, self.destination.receiver
        return WithdrawalRequest(self.study.known, self.study.sent, *about, self.destination.merge == "follow")

    def _refiled(
        self, row: WaitingRow, outlines: Sequence[Outline], *, is_released: bool
    ) -> tuple[list[NewMessage], SentState, str]:
        """Build the withdrawals of what was sent without its order and is sent again, as `withdrawals` does.

        What moved besides is withdrawn if it was released. What was sent under an old number, to a receiver that
        follows no merge, waits for an operator.
        """
        sent, request, formers = self.study.sent, self._request(row), self.study.formers
        numbers = numbers_said_again(outlines, sent)
        moved = [one for one in numbers_of_others(outlines, sent) if is_released and one not in numbers]
        made = withdrawals_to_refile(request, numbers, formers if is_released else None)
        if made is None and not (is_released or request.follows):
            is_merged = withdrawals_to_refile(replace(request, follows=True), numbers) is not None
            if is_merged:
                return [], sent, MERGE_MOVE
        others = withdrawals_for(request, moved, formers) if moved else []
        every = None if made is None or others is None else [*made, *others]
        return self._withdrawn(every, sent.without([number for number, _ in (*numbers, *moved)]), row)

    def _withdrawn(
        self, withdrawals: Sequence[Withdrawal] | None, after: SentState, row: WaitingRow
    ) -> tuple[list[NewMessage], SentState, str]:
        """Compose these withdrawals; return them with the sent state after them, or the reason why there are none."""
        if withdrawals is None:
            return [], after, FORMER_UNKNOWN
        # A withdrawal may have the content of what it withdraws, which the journal shows after a restore
        sent = replace(self.study.sent, restored={})
        composer = replace(self, study=replace(self.study, sent=sent))
        parts = _remarked(
            composer._message(one.known, one.cause, row, rendering(*self._asked(one.known, one.cause)))
            for one in withdrawals
        )
        pairs = zip(parts, withdrawals, strict=True)
        messages = [_as_withdrawal(part, one.patient_id) for part, one in pairs if isinstance(part, NewMessage)]
        held = [part.reason for part in parts if isinstance(part, SettledRow)]
        broken = [message.reason for message in messages if message.state == "dead_letter"]
        return messages, after, next(iter((*held, *broken)), "")

    def _known(self, drawn: Outline) -> Outline:
        """Return an outline with the patient ids that the receiver knows: after merges, or before them (D48)."""
        return drawn if self.destination.merge == "follow" else drawn.apart()

    def _asked(self, known: Kept, cause: Cause) -> AskedMessage:
        """Return the mapping's arguments for a message about a cause."""
        facts = replace(known.facts, reported=self.reported)
        return AskedMessage(known.study, cause, self.site, self.destination.receiver, facts)

    def _message(self, known: Kept, cause: Cause, row: WaitingRow, made: Rendering | MappingIssue) -> _Part:
        """Compose the message of a cause, or settle its row if there is none; return it with its warning codes."""
        control_id = message_control_id(cause, self.destination.control_name)
        mapped = oru_of(made, self._asked(known, cause), control_id=control_id, at=self.study.at)
        if isinstance(made, MappingIssue) or mapped.output is None:
            issues = [made] if isinstance(made, MappingIssue) else mapped.issues
            held = next(iter(_codes(issues, "error")), None)
            reason = issues[0].code if issues else ""
            settled = SettledRow(row.number, "held", held) if held else SettledRow(row.number, "nothing", reason)
            return settled, _codes(issues, "warning")
        drawn = outline_of(made, cause)
        digest = carried_digest(known.study, cause, drawn.report_ids, is_withdrawn=known.facts.is_withdrawn)
        if unsent := self._settled(row, cause, drawn, digest):
            return unsent, []
        rule_issues = [one.issue for one in check_rules(mapped.output, self.destination.receiver)]
        broken = next(iter(_codes(rule_issues, "error")), None)
        reported = self._noted(mapped.output, mapped.reported_at, drawn)
        state: MessageState = "dead_letter" if broken else "recorded" if self.destination.dry_run else "queued"
        message = NewMessage(
            outbox=row.number,
            report_id=cause.report_id,
            kind=cause.kind,
            content_version=cause.content_version,
            control_id=control_id,
            restates=drawn.restates,
            filler_order_numbers=drawn.filler_order_numbers,
            report_ids=drawn.report_ids,
            patient_id=drawn.patient_id,
            is_whole=drawn.is_whole,
            is_draft=cause.is_of_draft,
            is_critical=row.is_critical,
            priority=0 if row.is_critical else row.priority,
            signed=row.signed,
            body=mapped.output,
            state=state,
            reason=broken or "",
            told=digest,
            reported=micros(reported.at),
            statuses=reported.statuses,
        )
        without = [WITHOUT_ORDER] if lacks_order(known.facts) and cause.part == "report" else []
        return message, [*_codes((*mapped.issues, *rule_issues), "warning"), *without]

    def _noted(self, body: bytes, at: datetime | None, drawn: Outline) -> Reported:
        """Remember what a message says under its numbers; without OBR-22, the time of rendering stands for it."""
        reported = Reported(at or self.study.at, statuses_of(body))
        self.reported.update(dict.fromkeys(drawn.filler_order_numbers, reported))
        return reported

    def _settled(self, row: WaitingRow, cause: Cause, drawn: Outline, digest: str) -> SettledRow | None:
        """Return how to settle a row whose composed message must not be sent; None to send it."""
        whose, known = _whose(drawn, self.study.sent), self._known(drawn)
        if not all(one == "" or known.is_about(one) for one in whose):
            # last safeguard: the numbers belong to another patient (D13), or to an old number of this one (D48)
            is_merge = all(one == "" or drawn.is_about(one) for one in whose)
            return SettledRow(row.number, "held", MERGE_MOVE if is_merge else MOVE)
        if cause.kind == "withdrawn" and whose == {""}:
            return SettledRow(row.number, "nothing", UNSENT)
        is_same = all(known.is_about(one) for one in whose)
        if is_same and cause.kind != "replay" and digest in self.study.sent.restored.get(drawn.restates, ()):
            return SettledRow(row.number, "merged", RESTORED)  # the journal shows it was sent before the restore (D38)
        return None


def _held(rows: Iterable[WaitingRow], reason: str) -> list[SettledRow]:
    return [SettledRow(row.number, "held", reason) for row in rows]


def _settled_row(row: WaitingRow, parts: Sequence[NewMessage | SettledRow]) -> SettledRow:
    """Return how to settle a row by its composed parts; if any part is held, the whole row is held."""
    without = [one for one in parts if isinstance(one, SettledRow) and one.number == row.number]
    held = [one for one in without if one.state == "held"]
    if not held and any(isinstance(one, NewMessage) and one.outbox == row.number for one in parts):
        return SettledRow(row.number, "rendered")
    return next(iter((*held, *without)), SettledRow(row.number, "merged"))


def _key(row: WaitingRow | Cause) -> tuple[str, str, str, int]:
    return row.report_id, row.kind, row.content_version, row.replay


def _cause(row: WaitingRow) -> Cause:
    return Cause(row.report_id, row.kind, row.content_version, replay=row.replay)  # type: ignore[arg-type]


def _as_withdrawal(made: NewMessage, patient_id: str) -> NewMessage:
    """Return a message marked as a withdrawal that no later message supersedes, of the patient it was sent about.

    The next message under its number concerns another patient, so the supersession key gets the old patient's id.
    """
    restates = f"{made.restates}/{patient_id}"
    return replace(made, kind=MOVED, restates=restates, patient_id=patient_id, is_critical=False, signed=None, told="")


def _cancels(rows: Sequence[WaitingRow], settled: Sequence[SettledRow]) -> dict[bool, str]:
    """Return the reason for cancelling unsent messages, keyed by is_draft: signed (False) and drafts (True) (D21)."""
    unsent = [row.kind for row, one in zip(rows, settled, strict=True) if one.reason == UNSENT]
    return {is_draft: UNSENT for is_draft, kind in ((False, "withdrawn"), (True, "draft_cancelled")) if kind in unsent}


def _whose(drawn: Outline, sent: SentState) -> set[str]:
    """Return the patients about whom this message's numbers were sent; an empty id marks a withdrawn report."""
    wanted = set(drawn.filler_order_numbers)
    return {whose for numbers in sent.numbers.values() for number, whose in numbers.items() if number in wanted}


def _codes(issues: Iterable[MappingIssue], severity: Severity) -> list[str]:
    """Return the issue codes of one severity, each once."""
    return list(dict.fromkeys(one.code for one in issues if one.severity == severity))


def _remarked(parts: Iterable[_Part]) -> list[NewMessage | SettledRow]:
    """Return the messages with warnings, also those of sibling parts (a PDF) that could not be composed."""
    pairs = list(parts)
    codes_without_message: dict[int, list[str]] = {}
    for part, codes in pairs:
        if isinstance(part, SettledRow):
            codes_without_message.setdefault(part.number, []).extend(codes)
    return [
        part
        if isinstance(part, SettledRow)
        else replace(part, remarks=tuple(dict.fromkeys((*codes, *codes_without_message.get(part.outbox, ())))))
        for part, codes in pairs
    ]
