"""Requests that must not be carried out twice, by their keys: who carries one out, that it was sent, what came of it.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. Whoever carries a request out holds its key
until the instant in its row; whoever finds another instant there has lost it to somebody else, and sends nothing. That
a request is sent is written before it is: where a process died, the row tells what may have arrived from what cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import IdempotencyKeyReused, StoreUnavailable
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, Steps, ask

# Then who carries a request out is taken for dead. Longer than a POST may take (upstream.timeout, 120 s by default) and
# what came of it is looked for. Who is slower has sent, or loses the key and sends nothing.
HOLD: Final = timedelta(minutes=3)
# Whoever repeats a request does so within minutes; a day lets a person mend what stood in the way, and bounds the table
KEPT: Final = timedelta(hours=24)
# Keys that are forgotten where one is asked for: more than come, so that the table shrinks
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
    """A request that needs no more work: its answer, as it was given to `Claim.done`."""

    answer: str


class Requests:
    """The requests of the store, by digests of their keys. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def claim(self, key: str, request: str) -> KeyClaim | Done | None:
        """Hold a key for a request, both given as digests; its answer if it has one, None while somebody holds it.

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
    """A request that is carried out, by nobody else. `sent` is what was written of it when it was sent, None if not.

    Every method raises `StoreUnavailable`. All but `send` do nothing where the key was lost to somebody else.
    """

    def __init__(self, engine: Engine, key: str, held: int, sent: str | None = None) -> None:
        self.sent = sent
        self._engine, self._key, self._held = engine, key, held

    async def send(self, sent: str) -> None:
        """Write that it is sent, before it is.

        Raises:
            StoreUnavailable: somebody else took over, too: then nothing may be sent.
        """
        if not await self._do(_SEND, sent=sent):
            raise StoreUnavailable("another request with this key took over; this one sent nothing")

    async def leave(self, sent: str) -> None:
        """It was sent, and what came of it is not known: whoever has the key next finds out."""
        await self._do(_LEAVE, sent=sent)

    async def done(self, answer: str) -> None:
        """It is answered, a repeat alike."""
        await self._do(_DONE, answer=answer)

    async def release(self) -> None:
        """Certainly nothing was done: forget the key."""
        await self._do(_RELEASE)

    async def _do(self, statement: Statement, **values: str) -> bool:
        """Carry a statement out where the key is still held; whether a row came back."""
        return bool(await self._engine.do(lambda: ask(statement, key=self._key, held=self._held, **values)))
