"""Interleavings of database steps: gateways on PostgreSQL whose statements run one at a time, in an order by dice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.store.database.engine import Row, Steps, Work
from gateway.store.database.postgres import Postgres

_BLOCKED = 0.004  # seconds after which a step counts as one that waits for a lock, and the next one may begin


class Turns:
    """Give the turn to one of the steps that wait for it, by dice."""

    def __init__(self) -> None:
        self.dice = random.Random()
        self.given = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._running: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn, and hold it while the block runs, unless the block waits for a lock."""
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        loop.call_soon(self._next)
        blocked = None
        try:
            await mine
            blocked = loop.call_later(_BLOCKED, self._over, mine)
            yield
        finally:
            if blocked is not None:
                blocked.cancel()
            self._over(mine)

    def _over(self, one: asyncio.Future[None]) -> None:
        if self._running is one:
            self._running = None
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._waiting = [one for one in self._waiting if not one.done()]
        if self._running is None and self._waiting:
            self._running = self._waiting.pop(self.dice.randrange(len(self._waiting)))
            self.given += 1
            self._running.set_result(None)


class _Stepped:
    """Connection each of whose statements waits for its turn."""

    def __init__(self, connection: Any, turns: Turns) -> None:
        self._connection, self._turns = connection, turns

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self._connection, name)

        async def asked(*values: Any) -> Any:
            async with self._turns.turn():
                return await ask(*values)

        return asked


class Interleaved(Postgres):
    """PostgreSQL whose statements and commits wait for their turns."""

    def __init__(self, url: str, turns: Turns) -> None:
        super().__init__(url)
        self._turns = turns

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        async with self._turns.turn():
            return await super().query(sql, values)

    async def do(self, work: Work[Any]) -> Any:
        async with self._turns.turn():
            pass
        return await super().do(work)

    async def _drive(self, connection: Any, steps: Steps[Any]) -> Any:
        return await super()._drive(_Stepped(connection, self._turns), steps)
