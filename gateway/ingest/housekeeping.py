"""Delete finished rows from the database after some time: webhook events, command requests, access tokens.

Carries out no clause of a standard: how long the rows are kept is the project's own choice.
Proved by tests/contract/test_tidying.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.store.clients import StoredTokens
from gateway.store.database.engine import micros
from gateway.store.database.facts import Controls
from gateway.store.enrichment import StoredWebhooks

EVERY: Final = 3_600.0
KEPT: Final = timedelta(days=30)  # a sender may repeat a delivery for days, and a person may ask about it later


class Tidying:
    """Hourly deletion of old finished rows."""

    def __init__(self, webhooks: StoredWebhooks, controls: Controls, tokens: StoredTokens) -> None:
        self._webhooks, self._controls, self._tokens = webhooks, controls, tokens

    async def once(self) -> None:
        """Delete rows older than the retention, and access tokens that have expired.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        now = clock.now()
        before = now - KEPT
        await self._webhooks.forget(before)
        await self._controls.forget(before)
        await self._tokens.forget(micros(now))

    async def run(self) -> None:
        """Delete old rows every hour, until cancelled."""
        await forever(self.once, EVERY, not_done="not-tidied")
