"""Limit the costly requests of one client: a few run at one time, some wait in order, and more are refused with 429.

RFC 6585 §4 (429), RFC 9110 §10.2.3 (Retry-After). There are two budgets: one for `$trace`, `$validate`, `$everything`
and the entries of a batch, one for searches and histories of many resources. A client can fill only its own budgets, so
that the requests of others go on. After an answer its turn rests for a moment: what is asked for again and again leaves
time to others, and to the feed, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
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
    """Costly requests of one client: the number of those that run or wait, and the turns to run."""

    booked: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


class Budget:
    """Accounts of the clients that have costly requests under way; the others need no memory.

    A turn rests as long as its answer took, and at least `least_rest` seconds.
    """

    def __init__(self, least_rest: float = 0.0) -> None:
        self._least_rest = least_rest
        self._accounts: dict[tuple[str, str], _Account] = {}

    @contextmanager
    def booked(self, scope: Scope, requests: int = 1) -> Iterator[asyncio.Semaphore]:
        """Book so many requests for the client while the block runs; yield its turns, of which each request takes one.

        Raises:
            Throttled: the client has too many requests under way.
        """
        key = client_key(scope)
        account = self._accounts.get(key, _Account())
        if account.booked + requests > MOST:
            raise Throttled(f"more than {MOST} costly requests of this client are under way")
        self._accounts[key] = account
        account.booked += requests
        try:
            yield account.turns
        finally:
            account.booked -= requests
            if not account.booked:
                del self._accounts[key]

    def within(self, handler: Handler) -> Handler:
        """Wrap the handler of a costly request, so that it waits for its turn."""

        async def handle(request: Request) -> Response:
            if _PAID in request.scope:
                return await handler(request)
            with ExitStack() as stack:
                turns = stack.enter_context(self.booked(request.scope))
                await turns.acquire()
                stack.callback(turns.release)
                loop = asyncio.get_running_loop()
                begun = loop.time()
                answer = await handler(request)
                rest = max(self._least_rest, min(loop.time() - begun, REST))
                loop.call_later(rest, stack.pop_all().close)
                return answer

        return handle


def paid(scope: Scope) -> Scope:
    """Return the scope of a batch entry as one that has its turn: it waits for no second one."""
    return {**scope, _PAID: True}
