"""Compose the messages of one study from its waiting outbox rows, in order, and settle each row. Pure.

HL7 v2.5.1 §7.3.1 (ORU^R01), §2.15.9.10 (MSH-10); decisions D13, D18, D19, D21, D34. A message that breaks a rule of its
receiver is not sent: it is kept as a dead letter whose reason is the rule.
Proved by tests/contract/test_identity_conflict.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from gateway.feed.compose.withdraw_moved import Taking, taken_back, told_of_others, with_sent
from gateway.routing import Destination
from gateway.store.feed.moves import CORRECTED, HELD, MOVE, MOVED, RELEASED
from gateway.store.feed.new_messages import ComposedStudy, NewMessage
from gateway.store.feed.outbox import Settled, Waiting
from gateway.store.feed.sent import Sent
from gateway.store.feed.states import RESTORED, UNSENT, MessageState
from gateway.store.studies.kept import Kept
from mappings.hl7v2.messages import renderings_of_all
from mappings.hl7v2.oru_r01 import oru_of
from mappings.hl7v2.outline import Outline, outline, outline_of
from mappings.hl7v2.place import AskedMessage
from mappings.hl7v2.rendering import Rendering, rendering
from mappings.hl7v2.rules import check_rules
from mappings.issues import MappingIssue, Severity
from mappings.life.changes import told
from mappings.model import Cause
from mappings.patient.identifiers import message_control_id
from mappings.profile import Site

FORMER_UNKNOWN: Final = "former-unknown"
# A message, or the settled row if no message is composed; with the codes of its warnings
_Part: TypeAlias = tuple[NewMessage | Settled, list[str]]


@dataclass(frozen=True, slots=True)
class StudyRound:
    """A study as stored, what the destination was sent of it, and the time of rendering (MSH-7).

    `formers` are its earlier states, needed if an operator released a move of the study.
    """

    known: Kept
    revision: int
    sent: Sent
    at: datetime
    formers: Sequence[Kept] = ()


def composed(of: StudyRound, rows: Sequence[Waiting], site: Site, destination: Destination) -> ComposedStudy:
    """Compose the messages for the rows of a study, in order; `site` is the site profile adapted to the destination."""
    study_id = of.known.study.study_id
    if of.sent.is_told and any(row.is_move == HELD for row in rows):
        held = [Settled(row.number, "held", MOVE) for row in rows]
        return ComposedStudy(study_id, of.revision, held, [], of.sent, {False: MOVE, True: MOVE}, holds=MOVE)
    rows = sorted(rows, key=lambda row: row.kind != "signed")  # an original goes first (D19), whenever it was decided
    of = replace(of, known=replace(of.known, facts=with_sent(of.known.facts, of.sent)))
    first, after, reason = _Composing(of, site, destination).taking_back(rows)
    if reason:
        return ComposedStudy(study_id, of.revision, [Settled(row.number, "held", reason) for row in rows], [], of.sent)
    parts = _Composing(replace(of, sent=after), site, destination).parts(rows)
    settled = [_became(row, parts) for row in rows]
    rendered = {one.number for one in settled if one.state == "rendered"}
    made = [one for one in parts if isinstance(one, NewMessage) and one.outbox in rendered]
    return ComposedStudy(study_id, of.revision, settled, [*first, *made], of.sent, _taken_back(rows, settled))


@dataclass(frozen=True, slots=True)
class _Composing:
    """Composer of the messages of one round to one destination."""

    of: StudyRound
    site: Site
    destination: Destination

    def parts(self, rows: Sequence[Waiting]) -> list[NewMessage | Settled]:
        """Return the messages that the rows ask for; for a row without a message, its settled state."""
        known, sent = self.of.known, self.of.sent.signed
        by_cause = {_key(row): row for row in rows}
        asked = [_cause(row) for row in rows]
        made = renderings_of_all(known.study, asked, self.site, self.destination.receiver, known.facts, sent=sent)
        return _remarked(self._message(known, one.cause, by_cause[_key(one.cause)], one.made) for one in made)

    def taking_back(self, rows: Sequence[Waiting]) -> tuple[list[NewMessage], Sent, str]:
        """Return what a released move needs before its messages are sent (D13).

        These are the withdrawals to send first, what counts as sent after them, and the reason if the move stays held.
        """
        known, sent, receiver = self.of.known, self.of.sent, self.destination.receiver
        released = [row for row in rows if row.is_move in {RELEASED, CORRECTED}]
        if not released:
            return [], sent, ""
        outlines = [outline(known.study, _cause(row), self.site, receiver, known.facts) for row in rows]
        told = told_of_others([one for one in outlines if isinstance(one, Outline)], sent)
        after = sent.without([number for number, _ in told])
        if any(row.is_move == CORRECTED for row in released):
            return [], after, ""
        row = released[-1]
        asked = Taking(known, sent, row.content_version, row.number, self.site, receiver)
        withdrawals = taken_back(asked, told, self.of.formers)
        if withdrawals is None:
            return [], after, FORMER_UNKNOWN
        parts = _remarked(
            self._message(one.known, one.cause, row, rendering(*self._asked(one.known, one.cause)))
            for one in withdrawals
        )
        withdrawn = [_as_taking_back(one) for one in parts if isinstance(one, NewMessage)]
        held = [one.reason for one in parts if isinstance(one, Settled)]
        broken = [one.reason for one in withdrawn if one.state == "dead_letter"]
        return withdrawn, after, next(iter((*held, *broken)), "")

    def _asked(self, known: Kept, cause: Cause) -> AskedMessage:
        """Return the mapping's arguments for a cause."""
        return AskedMessage(known.study, cause, self.site, self.destination.receiver, known.facts)

    def _message(self, known: Kept, cause: Cause, row: Waiting, made: Rendering | MappingIssue) -> _Part:
        """Return the message of a cause, or its settled row if there is none; with the codes of its warnings."""
        control_id = message_control_id(cause, self.destination.control_name)
        mapped = oru_of(made, self._asked(known, cause), control_id=control_id, at=self.of.at)
        if isinstance(made, MappingIssue) or mapped.output is None:
            doubts = [made] if isinstance(made, MappingIssue) else mapped.issues
            held = next(iter(_codes(doubts, "error")), None)
            why = doubts[0].code if doubts else ""
            settled = Settled(row.number, "held", held) if held else Settled(row.number, "nothing", why)
            return settled, _codes(doubts, "warning")
        drawn = outline_of(made, cause)
        says = told(known.study, cause, drawn.report_ids)
        if over := self._settled(row, cause, drawn, says):
            return over, []
        rule_issues = [one.issue for one in check_rules(mapped.output, self.destination.receiver)]
        broken = next(iter(_codes(rule_issues, "error")), None)
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
            told=says,
        )
        return message, _codes((*mapped.issues, *rule_issues), "warning")

    def _settled(self, row: Waiting, cause: Cause, drawn: Outline, says: str) -> Settled | None:
        """Return how to settle a row whose message is not to be sent although it can be composed; None to send it."""
        whose = _whose(drawn, self.of.sent)
        if not whose <= {"", drawn.patient_id}:  # last safeguard: the numbers belong to another patient (D13)
            return Settled(row.number, "held", MOVE)
        if cause.kind == "withdrawn" and whose == {""}:
            return Settled(row.number, "nothing", UNSENT)
        if cause.kind != "replay" and says in self.of.sent.restored.get(drawn.restates, ()):
            return Settled(row.number, "merged", RESTORED)  # the journal shows it was sent before the restore (D38)
        return None


def _became(row: Waiting, parts: Sequence[NewMessage | Settled]) -> Settled:
    """Return how to settle a row, given its composed parts; if any part is held, the whole row is held."""
    without = [one for one in parts if isinstance(one, Settled) and one.number == row.number]
    held = [one for one in without if one.state == "held"]
    if not held and any(isinstance(one, NewMessage) and one.outbox == row.number for one in parts):
        return Settled(row.number, "rendered")
    return next(iter((*held, *without)), Settled(row.number, "merged"))


def _key(row: Waiting | Cause) -> tuple[str, str, str, int]:
    return row.report_id, row.kind, row.content_version, row.replay


def _cause(row: Waiting) -> Cause:
    return Cause(row.report_id, row.kind, row.content_version, replay=row.replay)  # type: ignore[arg-type]


def _as_taking_back(made: NewMessage) -> NewMessage:
    """Return a message marked as a withdrawal that no later message supersedes.

    The next message under its number concerns another patient, so the supersession key gets the old patient's id.
    """
    restates = f"{made.restates}/{made.patient_id}"
    return replace(made, kind=MOVED, restates=restates, is_critical=False, signed=None, told="")


def _taken_back(rows: Sequence[Waiting], settled: Sequence[Settled]) -> dict[bool, str]:
    """Return the reason for cancelling unsent messages, keyed by is_draft: signed (False) and drafts (True) (D21)."""
    unsent = [row.kind for row, one in zip(rows, settled, strict=True) if one.reason == UNSENT]
    return {is_draft: UNSENT for is_draft, kind in ((False, "withdrawn"), (True, "draft_cancelled")) if kind in unsent}


def _whose(drawn: Outline, sent: Sent) -> set[str]:
    """Return the patient ids that a message's numbers were sent for; an empty id marks a withdrawn report."""
    wanted = set(drawn.filler_order_numbers)
    return {whose for numbers in sent.numbers.values() for number, whose in numbers.items() if number in wanted}


def _codes(issues: Iterable[MappingIssue], severity: Severity) -> list[str]:
    """Return the codes of the issues of a severity, each once."""
    return list(dict.fromkeys(one.code for one in issues if one.severity == severity))


def _remarked(parts: Iterable[_Part]) -> list[NewMessage | Settled]:
    """Return each message with its warnings, including those of parts that could not be composed beside it (a PDF)."""
    pairs = list(parts)
    codes_without_message: dict[int, list[str]] = {}
    for part, codes in pairs:
        if isinstance(part, Settled):
            codes_without_message.setdefault(part.number, []).extend(codes)
    return [
        part
        if isinstance(part, Settled)
        else replace(part, remarks=tuple(dict.fromkeys((*codes, *codes_without_message.get(part.outbox, ())))))
        for part, codes in pairs
    ]
