"""Cache the access that a bearer token gives for 3 seconds, and renew it in the background before that.

RFC 6750 §5.2 (short lifetimes). `clients disable` holds within 3 seconds in every process. Without an answer of the
database, a token is good for 3 seconds more, its request waits 2, and after these 5 seconds it is refused with a 503.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.auth.access import Access
from gateway.auth.scopes import scope_list
from gateway.runtime import clock
from gateway.runtime.errors import StoreError, StoreUnavailable
from gateway.store.clients import TokenRecord
from gateway.store.database.engine import micros

TRUSTED: Final = 3.0
RENEWED: Final = 1.5
PATIENCE: Final = 2.0
UNKNOWN: Final = 1.0
MOST_TOKENS: Final = 4_096
_AGAIN: Final = 0.2  # seconds until a database that fails is asked again
_SECOND: Final = 1_000_000

LookUp = Callable[[str, int], Awaitable[Access | None]]


class _Known:
    """Cached token: its access (None: no such token), and the monotonic times to renew and to drop it."""

    __slots__ = ("access", "renew_at", "until")

    def __init__(self, access: Access | None, renew_at: float, until: float) -> None:
        self.access, self.renew_at, self.until = access, renew_at, until


class TokenCache:
    """Cache of token access, in one process on one event loop; `look_up` finds what a token gives at an instant."""

    def __init__(self, look_up: LookUp, now: Callable[[], float] = clock.monotonic) -> None:
        self._look_up, self._now = look_up, now
        # Tokens that nobody knows stand apart: a flood of them takes no place from the others
        self._known: dict[str, _Known] = {}
        self._unknown: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[Access | None]] = {}

    def warm(self, token: bytes) -> Access | None:
        """Return the access of a token if no look-up is needed now, else None; takes any bytes."""
        known = self._known.get(hashlib.sha256(token).hexdigest())
        return known.access if known is not None and self._now() < known.renew_at else None

    async def access(self, token: str) -> Access | None:
        """Return the access of a token, None if the token is not valid.

        Raises:
            StoreUnavailable: the database does not answer, and what it said last is too old.
            IssuerUnavailable: the token may be good, and the external issuer does not answer.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        known, now = self._known.get(digest) or self._unknown.get(digest), self._now()
        if known is not None and now < known.until:
            if now >= known.renew_at:
                self._ask(digest, token)
            return known.access
        return await asyncio.shield(self._ask(digest, token))

    def forget(self, digest: str) -> None:
        """Drop a token that was revoked here; other processes look it up again within 3 seconds."""
        self._known.pop(digest, None)

    def _ask(self, digest: str, token: str) -> asyncio.Task[Access | None]:
        """Return the look-up of a token that is under way; begin one if there is none."""
        task = self._asking.get(digest)
        if task is None:
            known = self._known.get(digest)
            patience = max(PATIENCE, known.until + PATIENCE - self._now() if known else 0.0)
            task = self._asking[digest] = asyncio.create_task(self._asked(digest, token, patience))
            task.add_done_callback(lambda done: self._done(digest, done))
        return task

    async def _asked(self, digest: str, token: str, patience: float) -> Access | None:
        """Look a token up, again and again while the database fails, and cache the answer.

        Raises:
            StoreUnavailable: it did not answer within so many seconds.
        """
        try:
            async with asyncio.timeout(patience):
                begun, at, access = await self._answer(token)
        except TimeoutError:
            raise StoreUnavailable("the database did not answer in time") from None
        if access is None:
            self._known.pop(digest, None)
            until = self._now() + UNKNOWN
            self._remember(self._unknown, digest, _Known(None, until, until))
            return None
        left = (access.expires - at) / _SECOND
        self._remember(self._known, digest, _Known(access, begun + min(RENEWED, left), begun + min(TRUSTED, left)))
        return access

    async def _answer(self, token: str) -> tuple[float, int, Access | None]:
        """Return the database's answer and when it was asked; later changes may be missing in it."""
        while True:
            begun, at = self._now(), micros(clock.now())
            try:
                return begun, at, await self._look_up(token, at)
            except StoreError:
                await asyncio.sleep(_AGAIN)

    def _remember(self, known: dict[str, _Known], digest: str, one: _Known) -> None:
        known.pop(digest, None)
        if len(known) >= MOST_TOKENS:
            del known[next(iter(known))]
        known[digest] = one

    def _done(self, digest: str, done: asyncio.Task[Access | None]) -> None:
        self._asking.pop(digest, None)
        if not done.cancelled():
            done.exception()  # those who wait for it have it; in the background, nobody needs it


def access_from(record: TokenRecord) -> Access:
    """Return the access that a stored token gives."""
    facilities = None if record.facilities is None else frozenset(record.facilities)
    return Access(record.client_id, scope_list(record.scopes), facilities, record.expires)
