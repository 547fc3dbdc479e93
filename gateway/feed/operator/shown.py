"""Answer of `feed show`: fates, and messages with their attempts and changed fields; and its lines for a person.

HL7 v2.5.1 §2.15.8 (MSA), §2.15.5 (ERR); decisions D39, D49.
Proved by tests/gateway/feed/operator/test_show.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gateway.feed.fate import ReportFate
from gateway.feed.operator.arguments import LEFT_OUT, CommandAnswer, at, counted, json_of
from gateway.feed.operator.order_of_study import OrderMatch

_LONG: Final = 400  # characters shown of a segment or a value: a PDF in Base64 is far longer
_PURGED: Final = "its text and attempts were deleted after feed.retention_days"
_NO_ANSWER: Final = "nothing came back"
_MOMENTS: Final = ("made", "sent", "committed", "accepted", "closed")


@dataclass(frozen=True, slots=True)
class ShownText:
    """Bytes of a message or of an answer, and its segments in printable form."""

    data: bytes = field(repr=False, metadata={"key": "bytes"})
    segments: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """Answer of a receiver; `content` are MSA and ERR of an acknowledgement, or why it is `unreadable` as one."""

    text: ShownText
    content: Mapping[str, Any] = field(repr=False)

    @property
    def said(self) -> dict[str, Any]:
        """The answer as JSON."""
        return {**json_of(self.text), **self.content}


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    """Attempt to send a message; `connection` describes it, `answer` is None if nothing came back."""

    attempt: int
    begun: datetime | None
    ended: datetime | None
    connection: Mapping[str, Any]
    state: str
    reason: str
    ack: str
    answer: ShownAnswer | None


@dataclass(frozen=True, slots=True)
class ChangedField:
    """Field that differs between two messages."""

    place: str
    was: str = field(repr=False)
    now: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplacedMessage:
    """Message that was sent before under the same number; `changed` is None if either text was deleted."""

    control_id: str
    sent: datetime | None
    changed: tuple[ChangedField, ...] | None


@dataclass(frozen=True, slots=True)
class MessageHistory:
    """Message with its attempts, the message that it replaced, and those that it supersedes.

    `message` is None once its bytes were deleted. `order` is None where no hospital sends orders, and `held` where
    every later message of the study is composed.
    """

    destination: str
    control_id: str
    study_id: str
    report_id: str
    report_ids: tuple[str, ...]
    patient_id: str
    filler_order_numbers: tuple[str, ...]
    cause: str
    state: str
    reason: str
    ack: str
    made: datetime
    sent: datetime | None
    committed: datetime | None
    accepted: datetime | None
    closed: datetime | None
    size: int
    sha256: str
    replaced: ReplacedMessage | None
    in_place_of: tuple[str, ...]
    superseded_by: str | None
    attempts: tuple[ShownAttempt, ...]
    message: ShownText | None
    order: OrderMatch | None = field(default=None, metadata=LEFT_OUT)
    held: tuple[str, ...] | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True, slots=True)
class ShownMessages(CommandAnswer):
    """Fates and messages that `feed show` found."""

    fates: tuple[ReportFate, ...]
    messages: tuple[MessageHistory, ...]

    @property
    def exit_code(self) -> int:
        """1 if nothing was found."""
        return 0 if self.messages or self.fates else 1

    @property
    def document(self) -> Any:
        """Fates and messages as JSON; an order also has its line."""
        messages = [json_of(one) for one in self.messages]
        for message, one in zip(messages, self.messages, strict=True):
            if one.order is not None:
                message["order"]["line"] = str(one.order)
        return {"fates": json_of(self.fates), "messages": messages}

    def lines(self) -> Iterator[str]:
        """Yield a line for each fate, the lines of each message, and their number."""
        for one in self.fates:
            yield f"{one.report_id} at {one.place.label}: {one.fate}"
        for message in self.messages:
            yield from message_lines(message)
        yield counted(len(self.messages), "message")


def message_lines(message: MessageHistory) -> Iterator[str]:
    """Yield the lines of one message."""
    yield f"{message.destination}  {message.control_id}  {_state(message)}"
    yield f"  of        {message.cause}, {message.report_id}, {message.study_id}, Patient/{message.patient_id}"
    yield f"  numbers   {', '.join(message.filler_order_numbers)} (OBR-3)"
    instants = [(name, getattr(message, name)) for name in _MOMENTS]
    yield f"  when      {', '.join(f'{name} {at(instant)}' for name, instant in instants if instant)}"
    yield f"  bytes     {message.size}, sha256 {message.sha256 or 'not known'}"
    if message.order is not None:
        yield f"  order     {message.order}"
    if message.held:
        yield f"  held      a later message, for {', '.join(message.held)}"
    yield from _others(message)
    for attempt in message.attempts:
        yield from _attempt(attempt)
    if message.message is None:
        yield f"  message   {_PURGED}"
        return
    if not message.attempts:
        yield "  attempts  none is kept"
    yield "  message"
    for segment in message.message.segments:
        yield f"    {short(segment)}"


def short(text: str) -> str:
    """Shorten a text that is too long for a screen."""
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text) - _LONG} more characters: --json has them)"


def _state(message: MessageHistory) -> str:
    why = f" ({message.reason})" if message.reason else ""
    return f"{message.state}{why}{', ' + message.ack if message.ack else ''}"


def _others(message: MessageHistory) -> Iterator[str]:
    for control_id in message.in_place_of:
        yield f"  supersedes {control_id}, which was not sent"
    if message.superseded_by:
        yield f"  superseded by {message.superseded_by}"
    replaced = message.replaced
    if replaced is None:
        yield "  replaced  nothing: no message was sent before under one of its numbers"
        return
    yield f"  replaced  {replaced.control_id}, sent {json_of(replaced.sent)}"
    if replaced.changed is None:
        yield "    the difference is not known: a text was deleted after feed.retention_days"
        return
    for (place, was, now), count in Counter(map(_of_any, replaced.changed)).items():
        yield f"    {place}{f' of {count} segments' if count > 1 else ''}"
        yield f"      was  {short(was) or '(nothing)'}"
        yield f"      now  {short(now) or '(nothing)'}"
    if not replaced.changed:
        yield "    the same, but for MSH-7 and MSH-10"


def _of_any(changed: ChangedField) -> tuple[str, str, str]:
    """Return a change without its segment number, so that equal changes of several segments can be counted."""
    return re.sub(r"\[\d+\]", "", changed.place), changed.was, changed.now


def _attempt(attempt: ShownAttempt) -> Iterator[str]:
    why = attempt.reason if attempt.reason not in {"", attempt.ack} else ""
    came = ", ".join(part for part in (attempt.state, why, attempt.ack) if part)
    begun = f"{at(attempt.begun)} to " if attempt.begun else ""
    yield f"  attempt {attempt.attempt}  {begun}{json_of(attempt.ended)}: {came}"
    yield f"    {connection(attempt.connection)}"
    if attempt.answer is None:
        yield f"    {_NO_ANSWER}"
        return
    for segment in attempt.answer.text.segments:
        yield f"    < {short(segment)}"
    content = attempt.answer.content
    if "unreadable" in content:
        yield f"    no acknowledgement: {content['unreadable']}"
    else:
        yield f"    {content['code']} for {content['controlId'] or 'no MSH-10'}{_quoted(content['text'])}"
    for error in content.get("errors", ()):
        place = f" at {error['location']}" if error["location"] else ""
        yield f"    error {error['code'] or 'without a code'}{place}{_quoted(error['text'])}"


def connection(described: Mapping[str, Any]) -> str:
    """Return the description of a connection in words."""
    parts = []
    if described.get("when") == "late":
        parts.append("came later")
    if "by" in described:
        parts.append("over a connection that the receiver opened")
    if "to" in described:
        parts.append(f"to {described['to']}")
    if "peer" in described:
        parts.append(f"with {described['peer']}")
    if "tls" in described:
        parts.append(str(described["tls"]))
    if "tls" in described and "sha256" in described:
        parts[-1] += f", certificate of {described['subject']}, sha256 {described['sha256']}"
    if "connection" in described:
        parts.append(f"connection {described['connection']} of {described['of']}")
    return ", ".join(parts) or "over a connection of which nothing is known"


def _quoted(text: str) -> str:
    return f": {short(text)}" if text else ""
