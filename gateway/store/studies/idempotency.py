"""Store requests that must not run twice, by idempotency key: which process runs the request, and its answer.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. A process that runs a request holds its key
until the instant in its row. If it finds another instant there, it has lost the key and sends nothing. The row records
a request as sent before it is sent: after a crash, it tells what may have arrived from what cannot.
Proved by tests/contract/test_idempotency.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.request_errors import IdempotencyKeyReused
from gateway.store.database.engine import Engine, Statement, Steps, ask, micros

# After this time a holder counts as dead. It is longer than a POST may take (upstream.timeout, 120 s by default) and
# the search for its result. A slower holder has sent already, or loses the key and sends nothing.
HOLD: Final = timedelta(minutes=3)
# Clients repeat a request within minutes. A day leaves time to mend a fault, and bounds the table
KEPT: Final = timedelta(hours=24)
# Expired keys deleted with each claim: more than are added, so that the table shrinks
MOST: Final = 100

_BEGIN: Final = Statement(
    "INSERT INTO idempotency (key, request, held, created) VALUES (:key, :request, :until, :now)"
    " ON CONFLICT (key) DO UPDATE SET request = excluded.request, held = excluded.held, created = excluded.created,"
    " sent = NULL, answer = NULL WHERE idempotency.created < :before RETURNING key"
)
_TAKE_OVER: Final = Statement(
    "UPDATE idempotency SET held = :until WHERE key = :key AND request = :request AND answer IS NULL AND held <= :now"
    " RETURNING sent"
)
_GET: Final = Statement("SELECT request, answer FROM idempotency WHERE key = :key")
_SEND: Final = Statement("UPDATE idempotency SET sent = :sent WHERE key = :key AND held = :held RETURNING key")
_LEAVE: Final = Statement("UPDATE idempotency SET sent = :sent, held = 0 WHERE key = :key AND held = :held")
_DONE: Final = Statement("UPDATE idempotency SET answer = :answer, held = 0 WHERE key = :key AND held = :held")
_RELEASE: Final = Statement("DELETE FROM idempotency WHERE key = :key AND held = :held")
_FORGET: Final = Statement(
    "DELETE FROM idempotency WHERE created < :before AND key IN"
    " (SELECT key FROM idempotency WHERE created < :before ORDER BY created LIMIT :most)"
)


@dataclass(frozen=True, slots=True)
class Done:
    """Answer of a finished request, as given to `KeyClaim.done`."""

    answer: str


class Requests:
    """Store of requests by digests of their idempotency keys. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def claim(self, key: str, request: str) -> KeyClaim | Done | None:
        """Claim a key for a request (both digests); return the answer if it ran before, None while another runs it.

        Raises:
            IdempotencyKeyReused: the key was given for another request.
        """
        now = clock.now()
        until = micros(now + HOLD)
        asked = {"key": key, "request": request, "until": until, "now": micros(now)}
        before = micros(now - KEPT)

        def work() -> Steps[KeyClaim | Done | None]:
            yield from ask(_FORGET, before=before, most=MOST)
            if (yield from ask(_BEGIN, before=before, **asked)):
                return KeyClaim(self._engine, key, until)
            if rows := (yield from ask(_TAKE_OVER, **asked)):
                return KeyClaim(self._engine, key, until, rows[0][0])
            rows = yield from ask(_GET, key=key)
            if rows and rows[0][0] != request:
                raise IdempotencyKeyReused("this key was given with another operation, report, body or If-Match")
            return Done(rows[0][1]) if rows and rows[0][1] is not None else None

        return await self._engine.do(work)


class KeyClaim:
    """Claim of one process to run a request. `sent` is what was recorded before it was sent, None if it was not.

    Every method raises `StoreUnavailable`. Apart from `send`, a method does nothing if another process took the key.
    """

    def __init__(self, engine: Engine, key: str, held: int, sent: str | None = None) -> None:
        self.sent = sent
        self._engine, self._key, self._held = engine, key, held

    async def send(self, sent: str) -> None:
        """Record the request as sent; call this before sending it.

        Raises:
            StoreUnavailable: another process took the key: then nothing may be sent.
        """
        if not await self._do(_SEND, sent=sent):
            raise StoreUnavailable("another request with this key took over; this one sent nothing")

    async def leave(self, sent: str) -> None:
        """Release the key of a request that was sent with unknown result; the next holder looks for the result."""
        await self._do(_LEAVE, sent=sent)

    async def done(self, answer: str) -> None:
        """Store the answer; repetitions of the request get it, too."""
        await self._do(_DONE, answer=answer)

    async def release(self) -> None:
        """Forget the key, since the request certainly had no effect."""
        await self._do(_RELEASE)

    async def _do(self, statement: Statement, **values: str) -> bool:
        """Run a statement if this process still holds the key; True if it did."""
        return bool(await self._engine.do(lambda: ask(statement, key=self._key, held=self._held, **values)))
