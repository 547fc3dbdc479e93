"""Keep connections of an asyncpg pool between two uses: to give one back costs as much as a short query.

https://magicstack.github.io/asyncpg/current/api/index.html#connection-pools: the pool opens and replaces connections,
and closes those that it has had back for a while.
Proved by tests/contract/test_kept_connections.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from gateway.runtime import clock

_UNUSED: Final = 60.0  # seconds after which the pool gets a connection back, when the next use of another one ends


class KeptConnections:
    """Connections of a pool, lent to one user at a time; the last one used is lent first.

    `interface_error` is asyncpg's error for a connection that the pool took back itself, since it was lost.
    """

    def __init__(self, pool: Any, interface_error: type[Exception]) -> None:
        self._pool, self._interface_error = pool, interface_error
        self._kept: deque[tuple[Any, float]] = deque()
        self._waiting = 0
        self._is_closed = False

    async def fetch(self, sql: str, *values: Any) -> Sequence[Any]:
        """Return the rows of a query; raise as asyncpg does."""
        async with self.lent() as connection:
            rows: Sequence[Any] = await connection.fetch(sql, *values)
            return rows

    def lent(self) -> AbstractAsyncContextManager[Any]:
        """Lend a connection while a block runs; wait for one if all are lent."""
        return _Lent(self)

    async def close(self) -> None:
        """Give all connections back to the pool, those that are lent as soon as they can be."""
        self._is_closed = True
        try:
            while self._kept:
                await self._pool.release(self._kept.pop()[0])
        except BaseException:
            self._pool.terminate()  # its own close would wait for the connections that are left
            raise

    async def take(self) -> Any:
        """Take a connection; wait for one if all are taken."""
        while self._kept:
            connection, _ = self._kept.pop()
            if not self._is_spent(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire()
        finally:
            self._waiting -= 1

    async def give_back(self, connection: Any, *, has_failed: bool) -> None:
        """Give a connection back.

        After an error the pool gets it: it waits until the server has given up what was cancelled.
        """
        if has_failed or self._waiting or self._is_closed or self._is_spent(connection):
            await self._pool.release(connection)
            return
        now = clock.monotonic()
        self._kept.append((connection, now))
        if now - self._kept[0][1] > _UNUSED:
            await self._pool.release(self._kept.popleft()[0])

    def _is_spent(self, connection: Any) -> bool:
        """Return True if a connection is lost, or in a transaction that nobody ended: the pool resets it."""
        try:
            return bool(connection.is_closed() or connection.is_in_transaction())
        except self._interface_error:
            return True


class _Lent:
    """Connection lent while a block runs. A class, since a generator for each query costs a twentieth of a search."""

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: KeptConnections) -> None:
        self._connections = connections

    async def __aenter__(self) -> Any:
        self._connection = await self._connections.take()
        return self._connection

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        await self._connections.give_back(self._connection, has_failed=error is not None)
