"""The `listen` command: run a test MLLP receiver that prints each message to the terminal.

HL7 v2.5.1 §2.9.2 (answers of a receiver) is implemented in gateway/sandbox/receiver.py.
Proved by tests/gateway/sandbox/test_receiver.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.runtime.signals import stop_signal
from gateway.sandbox.inbox import ReceivedMessage
from gateway.sandbox.readable import plain, readable
from gateway.sandbox.receiver import MllpReceiver

PRINT: Final = partial(print, flush=True)
_REPEATS: Final = {"same": ", duplicate", "other": ", duplicate MSH-10 with other bytes"}


async def run_listen(receiver: MllpReceiver, show: Callable[[str], object] = PRINT) -> None:
    """Receive and show messages until SIGINT or SIGTERM.

    Raises:
        ConfigError: the receiver cannot start.
    """
    shown = replace(receiver, on_message=lambda message: show(_shown(message)), say=show)
    async with stop_signal() as stop, shown:
        show(f"MLLP on {shown.host}:{shown.port}, answer: {shown.plan.about}. Ctrl-C stops.")
        await stop.wait()
    show(f"{len(shown.messages)} messages kept, stopped.")


def _shown(message: ReceivedMessage) -> str:
    file = f", file {message.file.name}" if message.file else ""
    head = f"--- {message.number}  MSH-10 {plain(message.control_id) or 'none'}, {len(message.payload)} bytes"
    head += f"{_REPEATS.get(message.repeat, '')}{file}, answer: {message.answer}"
    return f"{head}\n{readable(message.payload)}\n"
