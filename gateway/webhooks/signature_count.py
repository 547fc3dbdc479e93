"""How many webhooks came with a signature that holds, and how many with one that does not, kept for `check-config`.

AutoScribe REST API, webhook envelope and signature: a wrong secret shows by this alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import get_logger
from gateway.store.studies.coverage import StoredCursors

NAME: Final = "webhook_signatures"
EVERY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Signatures:
    """Since the last that held: `refused`; `held` is when that was, ISO 8601, empty for never."""

    refused: int = 0
    held: str = ""


class SignatureRecord:
    """Counts; `run` keeps what changed."""

    def __init__(self, cursors: StoredCursors) -> None:
        self._cursors = cursors
        self._now = self._kept = Signatures()

    def note(self, *, holds: bool) -> None:
        """A webhook came."""
        if holds:
            self._now = Signatures(0, clock.now().isoformat(timespec="seconds"))
        else:
            self._now = Signatures(self._now.refused + 1, self._now.held)

    async def once(self) -> None:
        """Keep the count if it is another.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        now = self._now
        if now != self._kept:
            await self._cursors.put(NAME, asdict(now))
            self._kept = now

    async def run(self) -> None:
        """Keep it every few seconds, going on from what was kept before."""
        while True:
            try:
                if self._now == self._kept == Signatures():
                    self._now = self._kept = await signatures(self._cursors)
                await self.once()
            except GatewayError as error:
                get_logger().warning("webhook-signatures-not-kept", code=error.code)
            await clock.sleep(EVERY)


async def signatures(cursors: StoredCursors) -> Signatures:
    """The count as it was kept last."""
    found: Mapping[str, Any] | None = await cursors.get(NAME)
    return Signatures(**found) if found else Signatures()
