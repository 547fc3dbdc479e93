"""Messages that a receiver of the sandbox got."""

from __future__ import annotations

import asyncio

from gateway.sandbox.inbox import ReceivedMessage
from gateway.sandbox.receiver import MllpReceiver


async def arrived(receiver: MllpReceiver, control_id: str, *, within: float = 60) -> ReceivedMessage:
    """Return the newest message with this MSH-10; wait for it if necessary.

    Raises:
        TimeoutError: no such message came within `within` seconds.
    """
    async with asyncio.timeout(within):
        while True:
            for message in reversed(receiver.messages):
                if message.control_id == control_id:
                    return message
            await asyncio.sleep(0.005)
