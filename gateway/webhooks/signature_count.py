"""Count webhooks with a wrong signature since the last valid signature, to reveal a wrong secret in `check-config`.

AutoScribe REST API, webhook envelope and signature: only this count reveals a wrong secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.store.studies.crawling import StoredCursors

NAME: Final = "webhook_signatures"
EVERY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Signatures:
    """Count of signatures `refused` since the last valid one, and when that came in `held` (ISO 8601; empty: never)."""

    refused: int = 0
    held: str = ""


class SignatureRecord:
    """Counter of signatures; `run` stores changes."""

    def __init__(self, cursors: StoredCursors) -> None:
        self._cursors = cursors
        self._now = self._kept = Signatures()

    def note(self, holds: bool) -> None:
        """Count one webhook."""
        if holds:
            self._now = Signatures(0, clock.now().isoformat(timespec="seconds"))
        else:
            self._now = Signatures(self._now.refused + 1, self._now.held)

    async def once(self) -> None:
        """Store the count if it changed; as long as nothing was counted, read the stored one before.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if self._now == self._kept == Signatures():
            self._now = self._kept = await signatures(self._cursors)
        now = self._now
        if now != self._kept:
            await self._cursors.put(NAME, asdict(now))
            self._kept = now

    async def run(self) -> None:
        """Store the count every few seconds, starting from the stored one."""
        await forever(self.once, EVERY, not_done="webhook-signatures-not-kept")


async def signatures(cursors: StoredCursors) -> Signatures:
    """Return the stored count."""
    stored: Mapping[str, Any] | None = await cursors.get(NAME)
    return Signatures(**stored) if stored else Signatures()
