"""Carry out `orders messages | message | retry | set-aside`: list and settle hospital messages held or failed.

HL7 v2.5.1 §2.9.2 (acknowledgements); decisions D39, D48. Such a message was acknowledged, so only an operator can say
what becomes of it. The list has numbers and codes alone. `orders message` shows patient data, and each use is recorded
in the audit before anything is shown.
Proved by tests/gateway/cli/test_order_messages.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from gateway.feed.operator.arguments import CommandAnswer, RefusedCommand, at, counted, json_of, wrong
from gateway.runtime import clock
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.database.facts import noted
from gateway.store.orders.inbound import (
    TroubledMessage,
    have_tried_again,
    present_names,
    set_aside,
    troubled,
    troubled_message,
)
from mappings.hl7v2.received import segments


@dataclass(frozen=True, slots=True)
class ListedTrouble:
    """Message that was held or failed; only numbers and codes."""

    number: int
    state: str
    code: str
    source: str
    control_id: str
    structure: str
    received: datetime
    settled: datetime
    has_bytes: bool

    def __str__(self) -> str:
        kept = "" if self.has_bytes else ", without bytes"
        about = f"{self.structure} of {self.source}, {at(self.received)}, MSH-10 {self.control_id or 'empty'}"
        return f"message {self.number}  {self.state} ({self.code})  {about}{kept}"


@dataclass(frozen=True, slots=True)
class ListedTroubles(CommandAnswer):
    """Answer of `orders messages`: messages that were held or failed."""

    messages: tuple[ListedTrouble, ...]

    @property
    def document(self) -> Any:
        """The messages as a JSON list."""
        return json_of(self.messages)

    def lines(self) -> Iterator[str]:
        """Yield a line for each message, and their number."""
        yield from map(str, self.messages)
        yield counted(len(self.messages), "message")


@dataclass(frozen=True, slots=True)
class ShownTrouble(CommandAnswer):
    """Answer of `orders message`: a message with its segments (patient data); None once its bytes are deleted."""

    message: ListedTrouble
    segments: tuple[str, ...] | None = field(repr=False)

    @property
    def document(self) -> Any:
        """The message as one JSON object."""
        return {**json_of(self.message), "segments": json_of(self.segments)}

    def lines(self) -> Iterator[str]:
        """Yield the message, and its segments."""
        yield str(self.message)
        yield from ["  its bytes are deleted"] if self.segments is None else [f"  {one}" for one in self.segments]


@dataclass(frozen=True, slots=True)
class SettledTrouble(CommandAnswer):
    """Answer of `orders retry|set-aside`; `with_others`: all failed messages of its source are retried."""

    number: int
    is_set_aside: bool
    with_others: bool

    def lines(self) -> Iterator[str]:
        """Yield what happens to it."""
        if self.is_set_aside:
            others = ", and what failed with it is tried again" if self.with_others else ""
            yield f"message {self.number} is set aside: it changes nothing{others}"
        else:
            others = " with all that failed of its source, in their old order" if self.with_others else ""
            yield f"message {self.number} is tried again{others}: the running service applies it"


async def list_messages(engine: Engine) -> ListedTroubles:
    """Return the messages that were held or that failed.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    await engine.do(partial(noted, "orders-messages", "held and failed", "", micros(clock.now())))
    names = await present_names(engine)
    return ListedTroubles(tuple([_listed(one, names) async for one in troubled(engine)]))


async def show_message(engine: Engine, number: int, reason: str) -> ShownTrouble | RefusedCommand:
    """Return a message with its segments; refused if no held or failed message has that number.

    Raises:
        StoreUnavailable: the store cannot be reached; nothing is returned, since the audit could not be written.
    """
    await engine.do(partial(noted, "orders-message", f"message {number}", reason, micros(clock.now())))
    message = await engine.do(partial(troubled_message, number))
    if message is None:
        return RefusedCommand(("no message of this number was held or failed",))
    printed = None if message.payload is None else tuple(segments(message.payload))
    return ShownTrouble(_listed(message, await present_names(engine)), printed)


async def retry(engine: Engine, number: int, reason: str) -> SettledTrouble | RefusedCommand:
    """Retry a message, and with a failed one all failed ones of its source; refused if its bytes are deleted.

    Raises:
        ConfigError: there is no reason, or no message of that number was held or failed.
        StoreUnavailable: the store cannot be reached.
    """
    message = await _wanted(engine, number, reason)
    if message.body is None:
        asked = "Ask the hospital to send it again, with a new MSH-7."
        return RefusedCommand((f"refused: its bytes are deleted. {asked} Nothing was done.",))
    if not await engine.do(partial(have_tried_again, message, reason, micros(clock.now()))):
        raise _gone(number)
    return SettledTrouble(number, is_set_aside=False, with_others=message.state == "failed")


async def set_message_aside(engine: Engine, number: int, reason: str) -> SettledTrouble:
    """Give a message up for good, without applying it.

    Raises:
        ConfigError: there is no reason, or no message of that number was held or failed.
        StoreUnavailable: the store cannot be reached.
    """
    locked = frozenset[str]()
    message = await _wanted(engine, number, reason)
    while True:
        concerned = await engine.do(partial(set_aside, message, reason, micros(clock.now()), locked))
        if concerned is None:
            raise _gone(number)
        if concerned <= locked:
            return SettledTrouble(number, is_set_aside=True, with_others=message.state == "failed")
        locked |= concerned


async def _wanted(engine: Engine, number: int, reason: str) -> TroubledMessage:
    if not reason.strip():
        raise wrong("--reason", "empty", "Write why, without names: the reason is kept.")
    message = await engine.do(partial(troubled_message, number))
    if message is None:
        raise _gone(number)
    return message


def _gone(number: int) -> Exception:
    return wrong(str(number), "no message of this number is held or failed", "`orders messages` lists those that are.")


def _listed(message: TroubledMessage, names: Mapping[str, str]) -> ListedTrouble:
    return ListedTrouble(
        message.number,
        message.state,
        message.code,
        names.get(message.source, message.source),
        message.control_id,
        message.structure,
        instant(message.received),
        instant(message.settled),
        message.body is not None,
    )
