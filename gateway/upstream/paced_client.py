"""AutoScribe client for the crawl (reading all studies): each try of a request waits for a turn, given by pace.py.

AutoScribe REST API, state of November 2026. Decision D26: no call before its Retry-After, in any loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.settings import Pdf, Upstream
from gateway.upstream import retry
from gateway.upstream.answers import ReceivedAnswer
from gateway.upstream.client import Observe, UpstreamClient, unobserved
from gateway.upstream.failures import Failure
from gateway.upstream.pace import Pace

TIMEOUT: Final = 20.0  # seconds for one request with its whole answer; it is retried later
_ATTEMPTS: Final = 2  # after two failures, the loop tries again later, and other requests get their turn


class PacedClient(UpstreamClient):
    """`UpstreamClient` with connections and a timeout of its own, so that the crawl does not delay other work.

    PDF downloads go to another host, and are not paced.
    """

    def __init__(self, upstream: Upstream, pdf: Pdf, pace: Pace, observe: Observe = unobserved) -> None:
        """Open no connection yet.

        Raises:
            ConfigError: there is no API key.
        """
        own = upstream.model_copy(update={"timeout": min(upstream.timeout, TIMEOUT)})
        policy = replace(retry.USUAL, attempts=_ATTEMPTS)
        super().__init__(own, pdf, policy=policy, requests=pace.most, observe=observe)
        self.pace = pace

    async def _exchange(
        self, operation: str, method: str, path: str, *, parameters: Mapping[str, str]
    ) -> ReceivedAnswer | Failure:
        async with self.pace.turn() as begun:
            outcome = await super()._exchange(operation, method, path, parameters=parameters)
            self.pace.answered(begun, outcome.error if isinstance(outcome, Failure) else None)
        return outcome
