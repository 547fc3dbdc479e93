"""Keep the database in order: delete finished rows after some time, and catch up with the words of reports.

Carries out no clause of a standard: how long the rows are kept is the project's own choice. Words are caught up with
after `fhir.content_search` was changed, and after an erasure; half of the time is left to others.
Proved by tests/contract/test_tidying.py and tests/contract/test_report_words.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.loops import forever, resting
from gateway.store.clients import StoredTokens
from gateway.store.database.engine import Engine, micros
from gateway.store.database.facts import Controls
from gateway.store.enrichment import StoredWebhooks
from gateway.store.studies.write_versions import catch_up, words_of

EVERY: Final = 3_600.0
WORDS_EVERY: Final = 10.0
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


async def keep_words(engine: Engine, *, has_words: bool) -> None:
    """Catch up with the words of reports, every few seconds until cancelled; if not `has_words`, delete them."""

    async def fold(bodies: Sequence[bytes]) -> list[str]:
        return await computed(words_of, bodies)

    async def once() -> None:
        while await resting(catch_up(engine, fold, has_words=has_words)):
            pass

    await forever(once, WORDS_EVERY, not_done="words-not-kept")
