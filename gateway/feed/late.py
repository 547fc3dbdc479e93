"""Acknowledgements that answer no message that is awaited: the application's, which follows that of the way, or none.

HL7 v2.5.1 §2.9.3 (enhanced mode); decision D32. It is matched by its MSA-2 to a message that was committed and waits
for it, also after a restart or from another connection; what matches nothing is logged and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from gateway import clock
from gateway.destinations import Destination
from gateway.feed.ack_policy import verdict
from gateway.feed.outcome import REFUSED
from gateway.feed.tenure import Tenure
from gateway.log import get_logger
from gateway.store import late_acks
from gateway.store.engine import Engine
from gateway.store.instants import micros
from mappings.hl7v2.ack import Ack


class LateAcks:
    """Those of one destination."""

    def __init__(self, engine: Engine, destination: Destination) -> None:
        self._engine, self._destination = engine, destination
        self._heard: deque[Ack] = deque()
        self._news = asyncio.Event()

    def take(self, ack: Ack) -> None:
        """One has come."""
        self._heard.append(ack)
        self._news.set()

    async def run(self, tenure: Tenure) -> None:
        """Write down what they say, one after the other, until cancelled.

        Raises:
            LeaseLost: somebody else sends there by now.
        """
        while True:
            self._news.clear()
            await self.settle(tenure)
            await self._news.wait()

    async def settle(self, tenure: Tenure) -> None:
        """Write down what those say that have come. One is forgotten when it is written down, and not before.

        Raises:
            LeaseLost: somebody else sends there by now.
        """
        while self._heard:
            ack = self._heard[0]
            said = verdict(ack, self._destination)
            holds = "" if said.meaning == "delivered" else REFUSED
            told = late_acks.Late(ack.control_id, ack.code, said.code, holds, micros(clock.now()))
            matched = await self._engine.do(partial(late_acks.acknowledged, tenure.lease, told))
            self._heard.popleft()
            if not matched:
                get_logger().warning("ack-matches-nothing", destination=self._destination.name, code=ack.code)
