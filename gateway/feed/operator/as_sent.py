"""`feed replay --as-sent`: send stored messages again with the same content, but a new MSH-10.

HL7 v2.5.1 §2.15.9.10 (MSH-10 Message Control ID); decision D35. A message is refused if a newer one was sent under the
same filler order number, unless forced. A message is always refused if it breaks a rule of the receiver, or has a
number under an authority that several facilities shared (D11).
Proved by tests/contract/test_ledger.py and tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.operator.arguments import CommandAnswer, counted, destination_named
from gateway.feed.operator.preview import Foreseen
from gateway.feed.operator.selection import ChosenStudies, Studies
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, micros
from gateway.store.database.operator_acts import noted
from gateway.store.feed.destinations import origin
from gateway.store.feed.leases import locked
from gateway.store.feed.messages import ALTERED
from gateway.store.feed.moves import MOVED
from gateway.store.feed.outbox import (
    LaneMessage,
    NewMessage,
    Resend,
    ToSend,
    add_message,
    insert_replay_row,
    is_to_be_made,
    lane,
    tried,
)
from gateway.store.feed.states import MessageState
from mappings.model import Cause
from mappings.patient.identifiers import message_control_id

_SENT: Final = "sent"
_REFUSED: Final = {
    "newer-sent": "a newer version was sent under the same filler order number: --force-old --reason sends it all the"
    " same",
    "newer-waits": "a newer version is about to be sent: --force-old --reason sends it all the same",
    "text-purged": "their text was deleted after feed.retention_days",
    ALTERED: "their stored text was altered: without --as-sent they are composed again",
    "rule-broken": "they break a rule of the receiver",
    "nothing-sent": "studies without a message that was sent or given up",
}


@dataclass(frozen=True, slots=True)
class AsSentReplay:
    """Replay request: destination and priority; with `dead_letters` only those, with `force_old` old versions too."""

    destination: Destination
    priority: int
    dead_letters: bool
    force_old: bool


@dataclass(frozen=True, slots=True)
class ReplayedAsSent(CommandAnswer):
    """Messages that are sent again as they were composed, and those refused by the reason."""

    name: str
    messages: int
    refused: Mapping[str, int]

    @property
    def exit_code(self) -> int:
        """1 if any message is refused."""
        return 1 if self.refused else 0

    def lines(self) -> Iterator[str]:
        """Yield how many are sent, and how many not."""
        yield f"{self.name} is sent {counted(self.messages, 'message')} again as made, each with an MSH-10 of its own"
        yield from _refused_lines(self.refused)


@dataclass(frozen=True, slots=True)
class AsSentRequest:
    """Chosen studies of a destination; with `force_old`, also messages older than what was sent since, for a reason."""

    name: str
    chosen: ChosenStudies
    reason: str = ""
    force_old: bool = False


async def foresee_as_sent(engine: Engine, configuration: Configuration, asked: AsSentRequest) -> Foreseen:
    """Count the chosen messages that would be sent again, and those that would be refused.

    Raises:
        ConfigError: no such destination, or the chosen study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    now, again = micros(clock.now()), await _replay_of(engine, configuration, asked)
    would, refused = ToSend(), Counter[str]()
    for study_id, report_ids in _each(await asked.chosen.studies(engine, again.destination)):
        outcomes = await tried(engine, partial(_became, again, study_id, report_ids, now))
        refused["nothing-sent"] += not outcomes
        for message, code in outcomes:
            if code == _SENT:
                would += ToSend(1, int(message.is_critical), message.signed, message.signed)
            else:
                refused[code] += 1
    return Foreseen(would, tuple(_refused_lines(+refused)), bool(+refused))


async def replay_as_sent(engine: Engine, configuration: Configuration, asked: AsSentRequest) -> ReplayedAsSent:
    """Queue chosen messages again as they were composed.

    Raises:
        ConfigError: no such destination, or the chosen study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    now, again = micros(clock.now()), await _replay_of(engine, configuration, asked)
    verb = "feed-replay-forced-old" if asked.force_old else "feed-replay-as-sent"
    outcomes = Counter[str]()
    studies = await asked.chosen.studies(engine, again.destination)
    await engine.do(partial(noted, verb, f"{asked.name} {asked.chosen}", asked.reason, now))
    for study_id, report_ids in _each(studies):
        outcomes.update(await engine.do(partial(queue_again, again, study_id, report_ids, now)))
    return ReplayedAsSent(asked.name, outcomes.pop(_SENT, 0), outcomes)


async def _replay_of(engine: Engine, configuration: Configuration, asked: AsSentRequest) -> AsSentReplay:
    destination = destination_named(configuration, asked.name)
    destination = replace(destination, first_name=await origin(engine, asked.name))
    return AsSentReplay(destination, asked.chosen.priority, asked.chosen.dead_letters, asked.force_old)


def _each(studies: Studies) -> Iterator[tuple[str, frozenset[str] | None]]:
    """Yield the studies, with a progress display."""
    with Progress("replay", "studies") as progress:
        for done, one in enumerate(studies.items()):
            progress(done, len(studies))
            yield one


def _refused_lines(refused: Mapping[str, int]) -> Iterator[str]:
    for code, count in sorted(refused.items()):
        yield f"{count} refused: {_REFUSED[code]}"


def queue_again(again: AsSentReplay, study_id: str, report_ids: frozenset[str] | None, now: int) -> Steps[list[str]]:
    """Queue the messages of one study again; return `sent` or the reason of refusal for each."""
    found = yield from _became(again, study_id, report_ids, now)
    return [code for _, code in found] or ["nothing-sent"]


def _became(
    again: AsSentReplay, study_id: str, report_ids: frozenset[str] | None, now: int
) -> Steps[list[tuple[LaneMessage, str]]]:
    """Queue the messages of one study again; return each with `sent` or its reason of refusal."""
    name = again.destination.name
    yield from locked(name)
    stored = yield from lane(name, study_id)
    is_waiting = yield from is_to_be_made(name, study_id)
    wanted = _wanted(stored, again, report_ids)
    outcomes: list[tuple[LaneMessage, str]] = []
    for original in wanted:
        is_old = _is_followed(original, stored, wanted)
        code = _refusal(original, again, is_old=is_old, is_waiting=is_waiting)
        outcomes.append((original, code))
        if code == _SENT:
            is_critical = original.is_critical and original.state == "dead_letter"
            report_id, version, signed = original.report_id, original.content_version, original.signed
            resend = Resend(study_id, report_id, version, is_critical, again.priority, signed)
            row, replay = yield from insert_replay_row(name, resend, now)
            resent_message = _message(original, resend, row, replay, again, is_old=is_old or is_waiting)
            yield from add_message(name, study_id, resent_message, now)
    return outcomes


def _wanted(stored: Sequence[LaneMessage], again: AsSentReplay, report_ids: frozenset[str] | None) -> list[LaneMessage]:
    """Return the messages to send again: the latest of each report, or of each order with the addenda after it."""
    sent_messages = [one for one in stored if not one.is_draft and one.kind != MOVED]
    settled = [one for one in sent_messages if one.state in {"delivered", "dead_letter"}]
    if again.dead_letters:
        whole = _newest_whole(stored)
        settled = [one for one in settled if one.state == "dead_letter" and one.number >= whole.get(one.restates, 0)]
    if report_ids is not None:
        own = [one for one in settled if one.report_id in report_ids]
        return (own or [one for one in settled if not report_ids.isdisjoint(one.report_ids)])[-1:]
    return list(_last_said(settled))


def _last_said(settled: Sequence[LaneMessage]) -> Iterator[LaneMessage]:
    """Return, for each order, its newest whole message and the messages after it."""
    whole = _newest_whole(settled)
    return (one for one in settled if one.number >= whole.get(one.restates, 0))


def _newest_whole(stored: Iterable[LaneMessage]) -> dict[str, int]:
    """Return the number of the newest whole message of each supersession key."""
    return {one.restates: one.number for one in stored if one.is_whole}


def _is_followed(message: LaneMessage, stored: Iterable[LaneMessage], wanted: Sequence[LaneMessage]) -> bool:
    """True if a newer message under one of its numbers was sent or is open, other than those sent again with it."""
    return any(
        other.number > message.number
        and other not in wanted
        and (other.was_sent or other.is_open)
        and not set(message.filler_order_numbers).isdisjoint(other.filler_order_numbers)
        for other in stored
    )


def _refusal(message: LaneMessage, again: AsSentReplay, *, is_old: bool, is_waiting: bool) -> str:
    """Return the reason why a message is not sent again, or `sent`."""
    if message.body is None:
        return "text-purged"
    if message.is_altered:
        return ALTERED
    if reason := HL7V2.refusal(message.body, again.destination.receiver):
        return reason
    if again.force_old:
        return _SENT
    return "newer-sent" if is_old else "newer-waits" if is_waiting else _SENT


def _message(  # noqa: PLR0913 (all that a copy needs)
    original: LaneMessage, resend: Resend, row: int, replay: int, again: AsSentReplay, *, is_old: bool
) -> NewMessage:
    """Return a copy of a message with a new MSH-10; a copy of an old version supersedes no queued message."""
    cause = Cause(original.report_id, "replay", original.content_version, replay=replay)
    control_id = message_control_id(cause, again.destination.control_name)
    state: MessageState = "recorded" if again.destination.dry_run else "queued"
    return NewMessage(
        outbox=row,
        report_id=original.report_id,
        kind="replay",
        content_version=original.content_version,
        control_id=control_id,
        restates=original.restates,
        filler_order_numbers=original.filler_order_numbers,
        report_ids=original.report_ids,
        patient_id=original.patient_id,
        is_whole=original.is_whole and not is_old,
        is_draft=False,
        is_critical=resend.is_critical,
        priority=0 if resend.is_critical else resend.priority,
        signed=original.signed,
        body=HL7V2.resent(original.body or b"", control_id),
        state=state,
    )
