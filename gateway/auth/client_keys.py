"""Find the public keys of a client: in its registered document, or at its URL (kept for five minutes).

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html. An unknown key id has the document
fetched again, at most once in 30 seconds. Keys stay valid until a document without them is fetched, or for a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from gateway.auth.key_set import KeySetInvalid, PublicKey, PublicKeys, key_set
from gateway.auth.key_set_fetch import KeySetUnreachable
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.store.clients import ClientKeySet, RegisteredClient

FRESH: Final = 300.0
BETWEEN: Final = 30.0
BELIEVED: Final = 86_400.0
MOST_URLS: Final = 1_000
_NEVER: Final = float("-inf")


@dataclass(slots=True)
class _Fetched:
    """Key set fetched from a URL; times of the last try and the last success are in monotonic seconds."""

    keys: PublicKeys = field(default_factory=PublicKeys)
    tried: float = _NEVER
    fetched: float = _NEVER
    task: asyncio.Task[None] | None = None


class KeySets:
    """Key sets of all clients, in one process, on one event loop."""

    def __init__(self, fetch: Callable[[str], Awaitable[bytes]], now: Callable[[], float] = clock.monotonic) -> None:
        self._fetch, self._now = fetch, now
        self._urls: dict[str, _Fetched] = {}

    async def find(self, client: RegisteredClient, key_id: str, algorithm: str) -> list[PublicKey]:
        """Return the keys of a client that have this id and algorithm: none, or one of each of its key sets."""
        found = [await self._find(one, key_id, algorithm) for one in client.key_sets]
        return [key for key in found if key is not None]

    async def _find(self, source: ClientKeySet, key_id: str, algorithm: str) -> PublicKey | None:
        if source.url is None:
            return registered(source.document or "").find(key_id, algorithm)
        known = self._known(source.url)
        now = self._now()
        key = known.keys.find(key_id, algorithm)
        if key is None or now - known.fetched >= FRESH:
            if known.task is None and now - known.tried >= BETWEEN:
                known.tried = now
                known.task = asyncio.create_task(self._refresh(source.url, known))
            if known.task is not None:
                await asyncio.shield(known.task)
        return known.keys.find(key_id, algorithm) if self._now() - known.fetched < BELIEVED else None

    def _known(self, url: str) -> _Fetched:
        if url not in self._urls and len(self._urls) >= MOST_URLS:
            del self._urls[next(iter(self._urls))]
        return self._urls.setdefault(url, _Fetched())

    async def _refresh(self, url: str, known: _Fetched) -> None:
        """Fetch a key set again; a failure is logged and leaves the keys as they are."""
        try:
            known.keys = key_set(await self._fetch(url))
            known.fetched = self._now()
        except KeySetUnreachable as error:
            get_logger().warning("jwks-not-fetched", code=error.reason)
        except KeySetInvalid:
            get_logger().warning("jwks-not-fetched", code="no-key-set")
        finally:
            known.task = None


@lru_cache(256)
def registered(document: str) -> PublicKeys:
    """Parse a registered document; one that this release cannot use has no keys."""
    try:
        return key_set(document.encode())
    except KeySetInvalid as error:
        get_logger().error("jwks-not-usable")
        return PublicKeys(faults=(str(error),))
