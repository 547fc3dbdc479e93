"""Makes messages of what is to be told: of all that waits of a study at once, rendered once, with bytes that stay.

HL7 v2.5.1 §7.3.1 (ORU^R01), §2.15.9.10 (MSH-10); decisions D7, D13, D18, D28, D31, D34. A message that breaks a rule of
its receiver is not sent: it is kept as a dead letter that names the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from gateway import clock
from gateway.computing import computed
from gateway.destinations import Destination
from gateway.errors import StoreError
from gateway.feed.moving import Asked, taken_back, told_of_others, with_sent
from gateway.log import get_logger
from gateway.store import intake, messages
from gateway.store.engine import Engine
from gateway.store.instants import micros
from gateway.store.intake import Outdated
from gateway.store.kept import Kept, kept
from gateway.store.leases import Lease, LeaseLost
from gateway.store.messages import Made, NewMessage, given_up
from gateway.store.moves import CORRECTED, HELD, MOVE, MOVED, RELEASED, formers
from gateway.store.outbox import Outbox, Settled, Waiting
from gateway.store.pdfs import Pdfs
from gateway.store.sent import Sent, read_sent
from gateway.store.states import UNSENT, MessageState
from mappings.hl7v2 import messages_of_all, to_oru
from mappings.hl7v2.outline import Outline, outline
from mappings.hl7v2.rules import check_rules
from mappings.identifiers import message_control_id
from mappings.issues import MappingIssue
from mappings.model import Cause
from mappings.profile import Receiver, Site

AT_ONCE: Final = 50
NOT_MADE: Final = "not-made"
FORMER_UNKNOWN: Final = "former-unknown"


@dataclass(frozen=True, slots=True)
class _Round:
    """A study as it is known, with what the destination has of it, and the time of rendering (MSH-7).

    `formers` are what it was, where an operator released a move of it.
    """

    known: Kept
    sent: Sent
    at: datetime
    formers: Sequence[Kept] = ()


class Making:
    """Makes the messages to one destination."""

    def __init__(self, engine: Engine, site: Site, destination: Destination) -> None:
        self.engine, self.destination = engine, destination
        self._site = destination.site(site)
        self._outbox = Outbox(engine)

    async def once(self, lease: Lease) -> int:
        """Make messages of the studies that are due; how many studies it looked at.

        Raises:
            LeaseLost: somebody else sends there by now.
            StoreUnavailable: the store cannot be reached.
        """
        name = self.destination.name
        due = await self._outbox.due(name, clock.now(), AT_ONCE)
        for study_id in due:
            try:
                await self._of(lease, study_id)
            except (LeaseLost, StoreError):
                raise
            except Exception as error:  # a fault of ours in one study holds up no other
                await self._give_up(lease, study_id, error)
        return len(due)

    async def _of(self, lease: Lease, study_id: str) -> None:
        name = self.destination.name
        found = await self.engine.fetch(intake.STUDY, study_id=study_id)  # before its rows: what comes later is news
        rows = _ready(await self._outbox.waiting(name, study_id), micros(clock.now()))
        if not rows or not found:
            return
        revision, _, packed, *_ = found[0]
        sent = await read_sent(self.engine, name, study_id)
        if sent.is_in_hand:
            return  # whether something was sent decides what this one is: a moment
        known = await self._with_pdfs(kept(packed))
        is_released = any(row.is_move == RELEASED for row in rows)
        of = _Round(known, sent, clock.now(), await formers(self.engine, study_id) if is_released else ())
        made = await computed(self._made, of, int(revision), rows)
        try:
            numbers = await self.engine.do(partial(messages.made, lease, made, micros(clock.now())))
        except Outdated:
            return  # there is news of the study, or more of it was sent: the next round sees it
        get_logger().info("messages-made", destination=name, study_id=study_id, count=len(numbers))

    async def _give_up(self, lease: Lease, study_id: str, error: Exception) -> None:
        """Hold what no message can be made of; when there is news of the study it is tried again."""
        name, now = self.destination.name, micros(clock.now())
        get_logger().error("message-not-made", destination=name, study_id=study_id, code="internal", exc_info=error)
        held = [Settled(row.number, "held", NOT_MADE) for row in await self._outbox.waiting(name, study_id)]
        await self.engine.do(partial(given_up, lease, held, now))

    async def _with_pdfs(self, known: Kept) -> Kept:
        """With the bytes of the PDFs, where the receiver takes them and they are not too large."""
        receiver = self.destination.receiver
        if not receiver.takes_pdf:
            return known
        pdf = await Pdfs(self.engine).with_data(known.facts.pdf, receiver.pdf_max)
        return replace(known, facts=replace(known.facts, pdf=pdf))

    def _made(self, of: _Round, revision: int, rows: list[Waiting]) -> Made:
        """What is made of the rows of a study, in order. Pure but for the size of what it makes."""
        study_id = of.known.study.study_id
        if of.sent.is_told and any(row.is_move == HELD for row in rows):
            held = [Settled(row.number, "held", MOVE) for row in rows]
            return Made(study_id, revision, held, [], of.sent, {False: MOVE, True: MOVE}, holds=MOVE)
        rows = sorted(rows, key=lambda row: row.kind != "signed")  # an original goes first (D19), whenever it came
        of = replace(of, known=replace(of.known, facts=with_sent(of.known.facts, of.sent)))
        first, after, reason = self._taking_back(of, rows)
        if reason:
            return Made(study_id, revision, [Settled(row.number, "held", reason) for row in rows], [], of.sent)
        parts = self._parts(replace(of, sent=after), rows)
        settled = [_became(row, parts) for row in rows]
        rendered = {one.number for one in settled if one.state == "rendered"}
        made = [one for one in parts if isinstance(one, NewMessage) and one.outbox in rendered]
        return Made(study_id, revision, settled, [*first, *made], of.sent, _taken_back(rows, settled))

    def _parts(self, of: _Round, rows: list[Waiting]) -> list[NewMessage | Settled]:
        """The messages that the rows ask for, or what becomes of them without."""
        known, receiver = of.known, self.destination.receiver
        by_cause = {_key(row): row for row in rows}
        asked = [_cause(row) for row in rows]
        causes = messages_of_all(known.study, asked, self._site, receiver, known.facts, sent=of.sent.signed)
        return [
            self._message(of, cause, by_cause[cause.report_id, cause.kind, cause.content_version, cause.replay])
            for cause in causes
        ]

    def _taking_back(self, of: _Round, rows: list[Waiting]) -> tuple[list[NewMessage], Sent, str]:
        """What goes before the messages of a released move, what is sent after that, or why it stays held (D13)."""
        released = [row for row in rows if row.is_move in {RELEASED, CORRECTED}]
        if not released:
            return [], of.sent, ""
        asked = of.known.study, self._site, self.destination.receiver, of.known.facts
        drawn = [outline(asked[0], _cause(row), *asked[1:]) for row in rows]
        told = told_of_others([one for one in drawn if isinstance(one, Outline)], of.sent)
        after = of.sent.without([number for number, _ in told])
        if any(row.is_move == CORRECTED for row in released):
            return [], after, ""
        version = released[-1].content_version
        found = taken_back(Asked(of.known, of.sent, version, *asked[1:3]), told, of.formers)
        if found is None:
            return [], after, FORMER_UNKNOWN
        made = [self._message(replace(of, known=one.known), one.cause, released[-1]) for one in found]
        said = [_as_taking_back(one) for one in made if isinstance(one, NewMessage)]
        held = [one.reason for one in made if isinstance(one, Settled)]
        broken = [one.reason for one in said if one.state == "dead_letter"]
        return said, after, next(iter((*held, *broken)), "")

    def _message(self, of: _Round, cause: Cause, row: Waiting) -> NewMessage | Settled:
        """The message of a cause, or what becomes of its row without one."""
        asked = of.known.study, cause, self._site, self.destination.receiver, of.known.facts
        drawn, control_id = outline(*asked), message_control_id(cause, self.destination.name)
        mapped = to_oru(*asked, control_id=control_id, at=of.at)
        if isinstance(drawn, MappingIssue) or mapped.output is None:
            issues = [drawn] if isinstance(drawn, MappingIssue) else mapped.issues
            held = next((issue.code for issue in issues if issue.severity == "error"), None)
            why = issues[0].code if issues else ""
            return Settled(row.number, "held", held) if held else Settled(row.number, "nothing", why)
        if _is_of_others(drawn, of.sent):
            return Settled(row.number, "held", MOVE)
        broken = next(_blocking(mapped.output, self.destination.receiver), None)
        state: MessageState = "dead_letter" if broken else "recorded" if self.destination.dry_run else "queued"
        return NewMessage(
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
        )


def _became(row: Waiting, parts: Sequence[NewMessage | Settled]) -> Settled:
    """What becomes of a row by what was made of it; where a part of it is held, all of it is."""
    without = [one for one in parts if isinstance(one, Settled) and one.number == row.number]
    held = [one for one in without if one.state == "held"]
    if not held and any(isinstance(one, NewMessage) and one.outbox == row.number for one in parts):
        return Settled(row.number, "rendered")
    return next(iter((*held, *without)), Settled(row.number, "merged"))


def _key(row: Waiting) -> tuple[str, str, str, int]:
    return row.report_id, row.kind, row.content_version, row.replay


def _cause(row: Waiting) -> Cause:
    return Cause(row.report_id, row.kind, row.content_version, replay=row.replay)  # type: ignore[arg-type]


def _ready(rows: list[Waiting], now: int) -> list[Waiting]:
    """The rows of which messages are made now: all, but a draft that may change yet, and of which there is no news."""
    news = {row.report_id for row in rows if row.kind != "draft"}
    return [row for row in rows if row.kind != "draft" or row.due <= now or row.report_id in news]


def _as_taking_back(made: NewMessage) -> NewMessage:
    """A message as one that nothing takes the place of: what is said under its number next is about somebody else."""
    restates = f"{made.restates}/{made.patient_id}"
    return replace(made, kind=MOVED, restates=restates, is_critical=False, signed=None)


def _taken_back(rows: list[Waiting], settled: list[Settled]) -> dict[bool, str]:
    """What was made and not sent of what is taken back is not sent any more: of what is signed, and of drafts (D21)."""
    unsent = [row.kind for row, one in zip(rows, settled, strict=True) if one.reason == UNSENT]
    return {is_draft: UNSENT for is_draft, kind in ((False, "withdrawn"), (True, "draft_cancelled")) if kind in unsent}


def _is_of_others(drawn: Outline, sent: Sent) -> bool:
    """The last net (D13): a number under which somebody else's report was sent."""
    wanted = set(drawn.filler_order_numbers)
    return any(
        number in wanted and patient_id not in ("", drawn.patient_id)
        for numbers in sent.numbers.values()
        for number, patient_id in numbers.items()
    )


def _blocking(message: bytes, receiver: Receiver) -> Iterator[str]:
    """The rules that the message breaks and that keep it from being sent, as codes."""
    return (one.issue.code for one in check_rules(message, receiver) if one.issue.severity == "error")
