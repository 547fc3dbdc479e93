"""Limit each client's costly requests: a few run at a time, some wait in order, further ones are refused with 429.

RFC 6585 §4 (429), RFC 9110 §10.2.3 (Retry-After). There are two budgets: one for `$trace`, `$validate`, `$everything`
and the entries of a batch, one for searches and histories of many resources. A client can fill only its own budgets, so
that the requests of others go on. After an answer its turn rests for a moment: what is asked for again and again leaves
time to others, and to the feed, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gateway.fhir_api.http.client import client_key
from gateway.runtime.request_errors import Throttled

AT_ONCE: Final = 4  # costly requests of one client that run at one time
REST: Final = 0.05  # seconds that a turn rests after an answer, at most
MOST: Final = 200  # costly requests of one client, with those that wait: two full batches

Handler = Callable[[Request], Awaitable[Response]]
_PAID: Final = "gateway.paid"  # scope key of a request inside a batch, which has its turn already


@dataclass(slots=True)
class _Account:
    """Costly requests of one client: how many run or wait, and a semaphore for those that run."""

    booked: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


class Budget:
    """Limits on costly requests, by client; a client without any takes no memory.

    A turn rests as long as its answer took, and at least `least_rest` seconds. Without a least rest, turns rest only if
    the client has more than half of them under way.
    """

    def __init__(self, least_rest: float = 0.0) -> None:
        self._least_rest = least_rest
        self._accounts: dict[tuple[str, str], _Account] = {}

    @contextmanager
    def booked(self, scope: Scope, requests: int = 1) -> Iterator[asyncio.Semaphore]:
        """Reserve a number of costly requests for the client; yield the semaphore that each of them takes.

        Raises:
            Throttled: the client has too many requests under way.
        """
        key = client_key(scope)
        account = self._book(key, requests)
        try:
            yield account.turns
        finally:
            self._unbook(key, account, requests)

    def within(self, handler: Handler) -> Handler:
        """Wrap the handler of a costly request, so that it waits until the client's budget lets it run."""

        async def handle(request: Request) -> Response:
            if _PAID in request.scope:
                return await handler(request)
            key = client_key(request.scope)
            account, rest, loop = self._book(key, 1), 0.0, asyncio.get_running_loop()
            try:
                await account.turns.acquire()
            except BaseException:
                self._unbook(key, account, 1)
                raise
            begun = loop.time()
            try:
                answer = await handler(request)
                rest = self._rest(account, loop.time() - begun)
            finally:
                if rest:
                    loop.call_later(rest, self._end, key, account)
                else:
                    self._end(key, account)
            return answer

        return handle

    def _rest(self, account: _Account, took: float) -> float:
        """Return how long (seconds) the client's next request must wait after an answer that took so long.

        A client with half of its turns under way, or fewer, hardly ever waits for one that rests: that needs no timer.
        """
        if not self._least_rest and account.booked <= AT_ONCE // 2:
            return 0.0
        return max(self._least_rest, min(took, REST))

    def _book(self, key: tuple[str, str], requests: int) -> _Account:
        account = self._accounts.get(key) or _Account()
        if account.booked + requests > MOST:
            raise Throttled(f"more than {MOST} costly requests of this client are under way")
        self._accounts[key] = account
        account.booked += requests
        return account

    def _unbook(self, key: tuple[str, str], account: _Account, requests: int) -> None:
        account.booked -= requests
        if not account.booked:
            del self._accounts[key]

    def _end(self, key: tuple[str, str], account: _Account) -> None:
        """End a costly request that has run."""
        account.turns.release()
        self._unbook(key, account, 1)


def paid(scope: Scope) -> Scope:
    """Mark the scope of a batch entry, so that it does not wait for the budget again."""
    return {**scope, _PAID: True}
