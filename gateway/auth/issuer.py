"""Keep the external issuer's keys and discovery document, renewed every 5 minutes, and at once for an unknown key.

https://openid.net/specs/openid-connect-core-1_0.html §10.1.1 (rotation of signing keys). A key is valid while the
newest key set has it. If the issuer does not answer, its known keys are valid for a day, and a token of an unknown key
gets a 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.auth.discovery import Discovery, Fetch, ask_issuer
from gateway.auth.key_set import PublicKey, PublicKeys
from gateway.runtime import clock
from gateway.runtime.errors import IssuerUnavailable
from gateway.runtime.log import get_logger

EVERY: Final = 300.0
BETWEEN: Final = 10.0
BELIEVED: Final = 86_400.0
PATIENCE: Final = 1.5  # less than the token cache waits for a look-up: the answer then says who is silent
_NEVER: Final = float("-inf")


class Issuer:
    """External issuer, as one process knows it on one event loop. Times are in monotonic seconds."""

    def __init__(
        self, fetch: Fetch, issuer: str, jwks_url: str | None = None, now: Callable[[], float] = clock.monotonic
    ) -> None:
        self._fetch, self._issuer, self._jwks_url, self._now = fetch, issuer, jwks_url, now
        self._keys = PublicKeys()
        self._tried = self._read_at = _NEVER
        self._answers = False
        self._task: asyncio.Task[None] | None = None
        self.discovered: Discovery | None = None

    async def key(self, key_id: str, algorithm: str) -> PublicKey | None:
        """Return a key, None if the issuer has none with that id for that algorithm.

        An unknown key has the issuer asked, at most once in 10 seconds.

        Raises:
            IssuerUnavailable: the key is not known, and the issuer does not answer.
        """
        key = self._known(key_id, algorithm)
        if key is None:
            await self._ask()
            key = self._known(key_id, algorithm)
        if key is None and not self._answers:
            raise IssuerUnavailable("issuer-unavailable: the issuer of access tokens does not answer")
        return key

    async def discovery(self) -> Discovery:
        """Return the latest discovery document.

        Raises:
            IssuerUnavailable: the issuer never gave one.
        """
        if self.discovered is None:
            await self._ask()
        if self.discovered is None:
            raise IssuerUnavailable("issuer-unavailable: the issuer of access tokens does not answer")
        return self.discovered

    async def renew(self) -> None:
        """Ask the issuer and wait for the answer; faults are logged."""
        await asyncio.shield(self._asking())

    def _known(self, key_id: str, algorithm: str) -> PublicKey | None:
        return self._keys.find(key_id, algorithm) if self._now() - self._read_at < BELIEVED else None

    async def _ask(self) -> None:
        """Ask the issuer unless that was done a moment ago; wait a little for the answer."""
        if self._task is None and self._now() - self._tried < BETWEEN:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._asking()), PATIENCE)

    def _asking(self) -> asyncio.Task[None]:
        """Return the request that is under way; begin one if there is none."""
        if self._task is None:
            self._tried = self._now()
            self._task = asyncio.create_task(self._read())
        return self._task

    async def _read(self) -> None:
        try:
            found = await ask_issuer(self._fetch, self._issuer, self._jwks_url)
            for fault in found.faults:
                get_logger().warning("issuer-not-read", code=fault.code)
            self.discovered = found.discovery or self.discovered
            self._answers = found.keys is not None
            if found.keys is not None:
                self._keys, self._read_at = found.keys, self._now()
        finally:
            self._task = None
