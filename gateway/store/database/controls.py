"""What commands ask of the service: rows that it reads within a second, and marks as done.

Carries out no clause of a standard; decision D8: a command is a short writer on the same database.
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
    """Something that is asked of the service: `refresh` and `rerender` name a study by its id."""

    number: int
    verb: str
    argument: str


class Controls:
    """The rows, from both sides."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ask(self, verb: str, argument: str) -> None:
        """Ask it of the service."""
        await self._engine.do(lambda: ask(ASK, verb=verb, argument=argument, asked=micros(clock.now())))

    async def open(self, most: int) -> list[Control]:
        """What is not done, the first asked first."""
        rows = await self._engine.fetch(_OPEN, most=most)
        return [Control(int(number), str(verb), str(argument)) for number, verb, argument in rows]

    async def done(self, number: int) -> None:
        """It was done."""
        await self._engine.do(lambda: ask(_DONE, number=number, now=micros(clock.now())))

    async def forget(self, before: datetime) -> None:
        """Forget what was done before then."""
        await self._engine.do(lambda: ask(_FORGET, before=micros(before)))
