"""Send the simulated hospital's messages to one listener: in order, on one connection, each until AA.

HL7 v2.5.1 §2.9.2 (acknowledgements), as interface engines do it: a message that is not accepted stays first in line.
Proved by tests/gateway/sandbox/test_his_sender.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any, Final

from gateway.mllp.connection import Connection, Endpoint
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, FeedError
from gateway.sandbox.his import HisMessage, his_stories, his_story, with_numbers
from gateway.sandbox.his_telling import HisTruth
from gateway.sandbox.seed import AccountContent
from gateway.sandbox.seed_study import SeededStudy
from mappings.hl7v2.ack import AckInvalid, parse

Json = dict[str, Any]

HOST: Final = "127.0.0.1"
AGAIN: Final = 1.0
"""Seconds before a message that was not accepted is sent again."""
LATER: Final = 3.0
"""Seconds after which what happens after a signature is told of a study that is signed now."""
_MOST_PORT: Final = 65_535


def his_endpoint(text: str) -> Endpoint:
    """Read HOST:PORT, or :PORT on this machine.

    Raises:
        ConfigError: it has another form.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _MOST_PORT):
        raise ConfigError("command line", "--his", "not HOST:PORT", "Write the listener's address: 127.0.0.1:2576.")
    return Endpoint(host.strip("[]") or HOST, int(port), connect_timeout=5.0, ack_timeout=10.0)


class HisSender:
    """Queue of messages to one listener. `accepted` counts those answered AA, `again` the repeated ones.

    `truths` are by study. `workflow` names that of new studies, empty to draw it. Use it from one event loop.
    """

    def __init__(
        self, endpoint: Endpoint, seed: int, again: float = AGAIN, later: float = LATER, *, workflow: str = ""
    ) -> None:
        self.endpoint, self.truths = endpoint, dict[str, HisTruth]()
        self.accepted = self.again = 0
        self._seed, self._wait, self._later, self._workflow = seed, again, later, workflow
        self._line: deque[tuple[float, HisMessage]] = deque()
        self._news = asyncio.Event()

    def told_of(self, world: AccountContent) -> AccountContent:
        """Queue the messages about all studies of an account; return it with the numbers put into its studies."""
        seeded = [one for one in world.seeded if one.study["studyType"] != "external"]
        stories = his_stories([(one.study, one.reports) for one in seeded], self._seed)
        self.truths |= {truth.study_id: truth for truth, _ in stories}
        self._put(sorted((one for _, told in stories for one in told), key=lambda one: (one.at, one.payload)))
        return replace(world, seeded=tuple(self._numbered(one) for one in world.seeded))

    def told_of_new(self, seeded: SeededStudy) -> SeededStudy:
        """Queue the messages about a study that is signed now; return the study with its numbers."""
        truth, told = his_story(seeded.study, seeded.reports, self._seed, workflow=self._workflow)
        self.truths[truth.study_id] = truth
        signed = min((one["signedAt"] or "" for one in seeded.reports), default="")
        for one in sorted(told, key=lambda message: (message.at, message.payload)):
            is_later = bool(signed) and one.at.isoformat()[:19] > signed[:19]
            self._put([one], self._later if is_later else 0.0)
        return self._numbered(seeded)

    def shown(self) -> Json:
        """Return the state of the queue, and the truth about each study."""
        return {
            "to": str(self.endpoint),
            "waiting": len(self._line),
            "accepted": self.accepted,
            "again": self.again,
            "truths": [asdict(one) for one in self.truths.values()],
        }

    async def run(self) -> None:
        """Send the queued messages in order, without end."""
        while True:
            try:
                async with await Connection.open(self.endpoint) as connection:
                    while True:
                        await self._send_first(connection)
            except FeedError:
                self.again += bool(self._line)
                await clock.sleep(self._wait)

    async def settled(self) -> None:
        """Wait until every message was accepted."""
        while self._line:
            await clock.sleep(0.01)

    async def _send_first(self, connection: Connection) -> None:
        """Send the first message until it is accepted.

        Raises:
            FeedError: the connection is lost, or no answer came.
        """
        while not self._line:
            self._news.clear()
            await self._news.wait()
        due, message = self._line[0]
        await clock.sleep(max(0.0, due - clock.monotonic()))
        if _is_accepted(message.payload, await connection.exchange(message.payload)):
            self._line.popleft()
            self.accepted += 1
        else:
            self.again += 1
            await clock.sleep(self._wait)

    def _put(self, messages: Iterable[HisMessage], delay: float = 0.0) -> None:
        due = clock.monotonic() + delay
        self._line.extend((due, one) for one in messages)
        self._news.set()

    def _numbered(self, seeded: SeededStudy) -> SeededStudy:
        truth = self.truths.get(seeded.study["studyId"])
        return replace(seeded, study=with_numbers(seeded.study, truth)) if truth else seeded


def _is_accepted(payload: bytes, answer: bytes) -> bool:
    """True for an AA with the message's MSH-10."""
    try:
        ack = parse(answer)
    except AckInvalid:
        return False
    return ack.code == "AA" and ack.control_id.encode() == payload.split(b"|", 10)[9]
