"""Wake tasks of other processes when new rows are committed, by PostgreSQL notifications.

https://www.postgresql.org/docs/current/sql-notify.html. A ring is sent after the commit, over a connection of its own.
One that is lost costs the time until the next poll of the store.
Proved by tests/contract/test_postgres_bell.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, get_args

from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.store.database.bell import Bell, Topic

CHANNEL: Final = "autoscribe_gateway"
_PAUSE: Final = 2.0  # seconds after a lost connection
_TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)


class SharedBell:
    """Carrier of rings. `connect` opens a connection; `errors` are the errors of one that cannot be used."""

    def __init__(
        self, bell: Bell, connect: Callable[[], Awaitable[Any]], errors: tuple[type[BaseException], ...]
    ) -> None:
        self._bell, self._connect, self._errors = bell, connect, errors
        self._rung: set[Topic] = set()
        self._news = asyncio.Event()
        self._is_lost = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Carry rings while the block runs."""
        loop = asyncio.get_running_loop()
        self._bell.told = lambda topic: loop.call_soon_threadsafe(self._note, topic)
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._bell.told = lambda _: None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._carry()
            except self._errors as error:
                get_logger().warning("bell-not-shared", code="store-unavailable", exc_info=error)
            await clock.sleep(_PAUSE)

    async def _carry(self) -> None:
        """Carry rings until the connection is lost."""
        connection = await self._connect()
        try:
            self._is_lost = False
            connection.add_termination_listener(self._lose)
            await connection.add_listener(CHANNEL, self._hear)
            for topic in _TOPICS:  # rings of the time without a connection
                self._bell.heard(topic)
            while not self._is_lost:
                await self._news.wait()
                self._news.clear()
                while self._rung:
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self._rung.pop())
        finally:
            with suppress(*self._errors):
                await connection.close(timeout=1)

    def _note(self, topic: Topic) -> None:
        self._rung.add(topic)
        self._news.set()

    def _lose(self, _: Any) -> None:
        self._is_lost = True
        self._news.set()

    def _hear(self, connection: Any, sender: int, _: str, payload: str) -> None:
        if sender != connection.get_server_pid() and payload in _TOPICS:
            self._bell.heard(payload)
