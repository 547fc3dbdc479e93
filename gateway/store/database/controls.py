"""Store and read requests from commands to the running service, which looks for new requests every second.

Carries out no clause of a standard; decision D8: a command is a short writer on the same database.
Proved by tests/contract/test_inbox.py and tests/gateway/ingest/test_control_queue.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, ask

ASK: Final = Statement("INSERT INTO control (verb, argument, asked) VALUES (:verb, :argument, :asked)")
_OPEN: Final = Statement("SELECT number, verb, argument FROM control WHERE done IS NULL ORDER BY number LIMIT :most")
_DONE: Final = Statement("UPDATE control SET done = :now WHERE number = :number")
_FORGET: Final = Statement("DELETE FROM control WHERE done < :before")


@dataclass(frozen=True, slots=True)
class Control:
    """Request to the service. The argument of `refresh` and `rerender` is a study id."""

    number: int
    verb: str
    argument: str


class Controls:
    """Requests table, for commands that ask and for the service that answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ask(self, verb: str, argument: str) -> None:
        """Insert a request to the service."""
        await self._engine.do(lambda: ask(ASK, verb=verb, argument=argument, asked=micros(clock.now())))

    async def open(self, most: int) -> list[Control]:
        """Return up to `most` requests that are not done, oldest first."""
        rows = await self._engine.fetch(_OPEN, most=most)
        return [Control(int(number), str(verb), str(argument)) for number, verb, argument in rows]

    async def done(self, number: int) -> None:
        """Mark a request as done."""
        await self._engine.do(lambda: ask(_DONE, number=number, now=micros(clock.now())))

    async def forget(self, before: datetime) -> None:
        """Delete requests that were done before this instant."""
        await self._engine.do(lambda: ask(_FORGET, before=micros(before)))
