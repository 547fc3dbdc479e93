"""Makes messages of what is to be told: of all that waits of a study at once, rendered once, with bytes that stay.

HL7 v2.5.1 §7.3.1 (ORU^R01), §2.15.9.10 (MSH-10); decisions D7, D13, D18, D28, D31, D34. A message that breaks a rule of
its receiver is not sent: it is kept as a dead letter that names the rule.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

from gateway import clock
from gateway.destinations import Destination
from gateway.errors import StoreError
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.store import intake, messages
from gateway.store.engine import Engine
from gateway.store.instants import micros
from gateway.store.intake import Outdated
from gateway.store.kept import Kept, kept
from gateway.store.leases import Lease, LeaseLost
from gateway.store.messages import Made, NewMessage, given_up
from gateway.store.outbox import Outbox, Settled, Waiting
from gateway.store.pdfs import Pdfs
from gateway.store.search import issues
from gateway.store.sent import Sent, read_sent
from gateway.store.states import UNSENT, MessageState
from mappings.hl7v2 import messages_of_all, to_oru
from mappings.hl7v2.outline import Outline, outline
from mappings.hl7v2.rules import check_rules
from mappings.identifiers import message_control_id
from mappings.issues import MappingIssue, Severity
from mappings.model import Cause, Facts
from mappings.profile import Site

AT_ONCE: Final = 50
MOVE: Final = "move"
NOT_MADE: Final = "not-made"
_MOST_ISSUES: Final = 1_000
# A message or what becomes of its row without one, and the codes of warnings
_Part: TypeAlias = tuple[NewMessage | Settled, list[str]]


@dataclass(frozen=True, slots=True)
class _Round:
    """A study as it is known, with what the destination has of it, and the time of rendering (MSH-7)."""

    known: Kept
    sent: Sent
    at: datetime


class Making:
    """Makes the messages to one destination."""

    def __init__(self, engine: Engine, site: Site, destination: Destination, metrics: Metrics) -> None:
        self.engine, self.destination, self._metrics = engine, destination, metrics
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
        said = {issue.code for _, issue in await issues(self.engine, [study_id], _MOST_ISSUES)}
        made = _beside(await asyncio.to_thread(self._made, known, int(revision), rows, sent, clock.now()), said)
        try:
            numbers = await self.engine.do(partial(messages.made, lease, made, micros(clock.now())))
        except Outdated:
            return  # there is news of the study, or more of it was sent: the next round sees it
        get_logger().info("messages-made", destination=name, study_id=study_id, count=len(numbers))
        for code, count in Counter(code for one in made.messages for code in one.remarks).items():
            get_logger().warning("message-remarked", destination=name, study_id=study_id, code=code, count=count)
            self._metrics.remarked(name, code, count)

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

    def _made(self, known: Kept, revision: int, rows: list[Waiting], sent: Sent, at: datetime) -> Made:
        """What is made of the rows of a study, in order. Pure but for the size of what it makes."""
        study_id = known.study.study_id
        if sent.is_told and any(row.is_move for row in rows):
            held = [Settled(row.number, "held", MOVE) for row in rows]
            return Made(study_id, revision, held, [], sent, {False: MOVE, True: MOVE}, holds=MOVE)
        rows = sorted(rows, key=lambda row: row.kind != "signed")  # an original goes first (D19), whenever it came
        facts, receiver = _with_sent(known.facts, sent), self.destination.receiver
        by_cause = {_key(row): row for row in rows}
        causes = messages_of_all(
            known.study, [_cause(row) for row in rows], self._site, receiver, facts, sent=sent.signed
        )
        round_ = _Round(replace(known, facts=facts), sent, at)
        parts = _remarked(
            self._message(round_, cause, by_cause[cause.report_id, cause.kind, cause.content_version, cause.replay])
            for cause in causes
        )
        settled = [_became(row, parts) for row in rows]
        rendered = {one.number for one in settled if one.state == "rendered"}
        made = [one for one in parts if isinstance(one, NewMessage) and one.outbox in rendered]
        return Made(study_id, revision, settled, made, sent, _taken_back(rows, settled))

    def _message(self, of: _Round, cause: Cause, row: Waiting) -> _Part:
        """The message of a cause, or what becomes of its row without one; with the codes of warnings."""
        asked = of.known.study, cause, self._site, self.destination.receiver, of.known.facts
        drawn, control_id = outline(*asked), message_control_id(cause, self.destination.name)
        mapped = to_oru(*asked, control_id=control_id, at=of.at)
        if isinstance(drawn, MappingIssue) or mapped.output is None:
            doubts = [drawn] if isinstance(drawn, MappingIssue) else mapped.issues
            held = next(iter(_codes(doubts, "error")), None)
            why = doubts[0].code if doubts else ""
            settled = Settled(row.number, "held", held) if held else Settled(row.number, "nothing", why)
            return settled, _codes(doubts, "warning")
        if _is_of_others(drawn, of.sent):
            return Settled(row.number, "held", MOVE), []
        found = [one.issue for one in check_rules(mapped.output, self.destination.receiver)]
        broken = next(iter(_codes(found, "error")), None)
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
        )
        return message, _codes((*mapped.issues, *found), "warning")


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


def _with_sent(facts: Facts, sent: Sent) -> Facts:
    """The facts of the study with what was sent of it."""
    return replace(facts, filler_order_numbers={one: tuple(found) for one, found in sent.numbers.items()})


def _taken_back(rows: list[Waiting], settled: list[Settled]) -> dict[bool, str]:
    """What was made and not sent of what is taken back is not sent any more: of what is signed, and of drafts (D21)."""
    unsent = [row.kind for row, one in zip(rows, settled, strict=True) if one.reason == UNSENT]
    return {is_draft: UNSENT for is_draft, kind in ((False, "withdrawn"), (True, "draft_cancelled")) if kind in unsent}


def _is_of_others(drawn: Outline, sent: Sent) -> bool:
    """The last net (D13): a number under which somebody else's report was sent."""
    wanted = set(drawn.filler_order_numbers)
    return any(
        number in wanted and patient_id != drawn.patient_id
        for numbers in sent.numbers.values()
        for number, patient_id in numbers.items()
    )


def _codes(issues: Iterable[MappingIssue], severity: Severity) -> list[str]:
    """The codes of issues, each once."""
    return list(dict.fromkeys(one.code for one in issues if one.severity == severity))


def _beside(made: Made, said: Set[str]) -> Made:
    """Without the remarks that are issues of the study itself: they are known, and are not the receiver's alone."""
    messages = [replace(one, remarks=tuple(code for code in one.remarks if code not in said)) for one in made.messages]
    return replace(made, messages=messages)


def _remarked(parts: Iterable[_Part]) -> list[NewMessage | Settled]:
    """Each message with its warnings, and with those of what should have gone beside it and did not (a PDF)."""
    found = list(parts)
    unsaid: dict[int, list[str]] = {}
    for part, codes in found:
        if isinstance(part, Settled):
            unsaid.setdefault(part.number, []).extend(codes)
    return [
        part
        if isinstance(part, Settled)
        else replace(part, remarks=tuple(dict.fromkeys((*codes, *unsaid.get(part.outbox, ())))))
        for part, codes in found
    ]
