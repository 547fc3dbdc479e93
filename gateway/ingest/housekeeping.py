"""Lets go of rows that nobody asks for any more: webhooks that were worked off, and what commands asked for and got.

Carries out no clause of a standard: how long they are kept is our own affair.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.store.database.controls import Controls
from gateway.store.webhooks import StoredWebhooks

EVERY: Final = 3_600.0
KEPT: Final = timedelta(days=30)  # a sender may repeat a delivery for days, and a person may ask what happened


class Tidying:
    """Once an hour."""

    def __init__(self, webhooks: StoredWebhooks, controls: Controls) -> None:
        self._webhooks, self._controls = webhooks, controls

    async def once(self) -> None:
        """Let go of what is over its time.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        before = clock.now() - KEPT
        await self._webhooks.forget(before)
        await self._controls.forget(before)

    async def run(self) -> None:
        """Again and again, until cancelled."""
        await forever(self.once, EVERY, not_done="not-tidied")
