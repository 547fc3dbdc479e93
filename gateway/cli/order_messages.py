"""Carry out `orders messages | message | retry | set-aside`: settle messages of hospitals that were held or failed.

HL7 v2.5.1 §2.9.2 (acknowledgements); decisions D39, D48. Such a message was acknowledged, so only an operator can say
what becomes of it. The list has numbers and codes alone. `orders message` shows patient data, and each use is recorded
in the audit before anything is shown.
Proved by tests/gateway/cli/test_order_messages.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.cli.command_line import Say
from gateway.feed.operator.arguments import counted, wrong
from gateway.ingest.assembly import store_for_command
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text, micros
from gateway.store.database.operator_acts import noted
from gateway.store.orders.inbound import (
    TroubledMessage,
    have_tried_again,
    present_names,
    set_aside,
    troubled,
    troubled_message,
)
from mappings.hl7v2.printed import segments


async def list_messages(configuration: Configuration, say: Say, *, as_json: bool = False) -> int:
    """Print a message a line, with its source and the reason, by numbers and codes alone; return 0.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    async with store_for_command(configuration, writes=False) as engine:
        await engine.do(partial(noted, "orders-messages", "held and failed", "", micros(clock.now())))
        names = await present_names(engine)
        rows = [_said(one, names) async for one in troubled(engine)]
    if as_json:
        say(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        say(_line(row))
    say(counted(len(rows), "message"))
    return 0


async def show_message(
    configuration: Configuration, number: int, reason: str, say: Say, *, as_json: bool = False
) -> int:
    """Show a message with its segments; return 1 if none of that number was held or failed.

    Raises:
        StoreUnavailable: the store cannot be reached; nothing is shown, since the audit could not be written.
    """
    async with store_for_command(configuration, writes=False) as engine:
        await engine.do(partial(noted, "orders-message", f"message {number}", reason, micros(clock.now())))
        message = await engine.do(partial(troubled_message, number))
        names = await present_names(engine)
    if message is None:
        say("no message of this number was held or failed")
        return 1
    row = _said(message, names)
    printed = None if message.payload is None else segments(message.payload)
    if as_json:
        say(json.dumps({**row, "segments": printed}, indent=2))
        return 0
    for line in [_line(row), *(["  its bytes are deleted"] if printed is None else [f"  {one}" for one in printed])]:
        say(line)
    return 0


async def retry(configuration: Configuration, number: int, reason: str, say: Say) -> int:
    """Have a message tried again, a failed one with all that failed of its source; return 1 without its bytes.

    Raises:
        ConfigError: there is no reason, or no message of that number was held or failed.
        StoreUnavailable: the store cannot be reached.
    """
    async with store_for_command(configuration) as engine:
        message = await _wanted(engine, number, reason)
        if message.body is None:
            say(
                "refused: its bytes are deleted. Ask the hospital to send it again, with a new MSH-7. Nothing was done."
            )
            return 1
        if not await engine.do(partial(have_tried_again, message, reason, micros(clock.now()))):
            raise _gone(number)
    others = " with all that failed of its source, in their old order" if message.state == "failed" else ""
    say(f"message {number} is tried again{others}: the running service applies it")
    return 0


async def set_message_aside(configuration: Configuration, number: int, reason: str, say: Say) -> int:
    """Settle a message for good without applying it; return 0.

    Raises:
        ConfigError: there is no reason, or no message of that number was held or failed.
        StoreUnavailable: the store cannot be reached.
    """
    locked = frozenset[str]()
    async with store_for_command(configuration) as engine:
        message = await _wanted(engine, number, reason)
        while True:
            concerned = await engine.do(partial(set_aside, message, reason, micros(clock.now()), locked))
            if concerned is None:
                raise _gone(number)
            if concerned <= locked:
                break
            locked |= concerned
    others = ", and what failed with it is tried again" if message.state == "failed" else ""
    say(f"message {number} is set aside: it changes nothing{others}")
    return 0


async def _wanted(engine: Engine, number: int, reason: str) -> TroubledMessage:
    if not reason.strip():
        raise wrong("--reason", "empty", "Write why, without names: the reason is kept.")
    message = await engine.do(partial(troubled_message, number))
    if message is None:
        raise _gone(number)
    return message


def _gone(number: int) -> Exception:
    return wrong(str(number), "no message of this number is held or failed", "`orders messages` lists those that are.")


def _said(message: TroubledMessage, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "number": message.number,
        "state": message.state,
        "code": message.code,
        "source": names.get(message.source, message.source),
        "controlId": message.control_id,
        "structure": message.structure,
        "received": instant_text(message.received),
        "settled": instant_text(message.settled),
        "hasBytes": message.body is not None,
    }


def _line(row: dict[str, Any]) -> str:
    kept = "" if row["hasBytes"] else ", without bytes"
    about = f"{row['structure']} of {row['source']}, {row['received']}, MSH-10 {row['controlId'] or 'empty'}"
    return f"message {row['number']}  {row['state']} ({row['code']})  {about}{kept}"
