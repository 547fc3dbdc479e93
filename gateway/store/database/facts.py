"""Store facts about the whole database (name and value), requests to the running service, and operators' acts.

Carries out no clause of a standard; decisions D8, D11, D35. Patient ids are made with the site key, so another key is
refused. The service looks for new requests every second. An act has its user, host, time, and reason, which may be
empty. Its user is the one of the process, or the person who is signed in to the console.
Proved by tests/contract/test_inbox.py and tests/gateway/store/database/test_operator_acts.py.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from gateway.runtime import clock
from gateway.store.database.engine import Engine, Statement, Steps, ask, micros

INDEX: Final = "index"  # the revision of the index that all stored resources have
INDEX_REVISION: Final = "2"  # higher with each change of index rows; fhir_api/search/unindexed.py says of what
_CLAIM: Final = Statement("INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING")
_PUT: Final = Statement("UPDATE fact SET value = :value WHERE name = :name")
_GET: Final = Statement("SELECT value FROM fact WHERE name = :name")


async def claimed(engine: Engine, name: str, value: str) -> str:
    """Return the value of a fact; if it has none, store this value first."""

    def work() -> Steps[str]:
        yield from ask(_CLAIM, name=name, value=value)
        rows = yield from ask(_GET, name=name)
        return str(rows[0][0])

    return await engine.do(work)


async def value_of(engine: Engine, name: str) -> str | None:
    """Return the value of a fact; None if it has none."""
    rows = await engine.fetch(_GET, name=name)
    return str(rows[0][0]) if rows else None


async def put(engine: Engine, name: str, value: str) -> None:
    """Replace the value of a fact."""
    await engine.do(lambda: ask(_PUT, name=name, value=value))


ASK: Final = Statement("INSERT INTO control (verb, argument, asked) VALUES (:verb, :argument, :asked)")
_OPEN: Final = Statement("SELECT number, verb, argument FROM control WHERE done IS NULL ORDER BY number LIMIT :most")
_DONE: Final = Statement("UPDATE control SET done = :now WHERE number = :number")
_FORGET: Final = Statement("DELETE FROM control WHERE done < :before")


@dataclass(frozen=True, slots=True)
class Control:
    """Request to the running service. The argument of `refresh` and `rerender` is a study id."""

    number: int
    verb: str
    argument: str


class Controls:
    """Table of requests, written by commands and answered by the running service."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ask(self, verb: str, argument: str) -> None:
        """Insert a request to the running service."""
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


# In PostgreSQL, `user` without quotes is the user of the connection
_NOTE: Final = Statement(
    'INSERT INTO audit (at, verb, argument, reason, "user", host) VALUES (:at, :verb, :argument, :reason, :user, :host)'
)


_ACTS: Final = Statement(
    'SELECT at, argument, reason, "user", host FROM audit WHERE verb = :verb ORDER BY number DESC LIMIT :most'
)
_PERSON: Final[ContextVar[str]] = ContextVar("person", default="")


class Actor(NamedTuple):
    """Operating system user who runs a command, or person at the console, and the machine."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


@contextmanager
def acting_as(subject: str) -> Iterator[None]:
    """Note all acts of this task while the block runs as those of a person, not of the process's user."""
    token = _PERSON.set(subject)
    try:
        yield
    finally:
        _PERSON.reset(token)


def actor() -> Actor:
    """Return who acts: the person of `acting_as`, else this process's user (or user number); and the machine.

    No environment variable changes them.
    """
    if person := _PERSON.get():
        return Actor(person, socket.gethostname())
    number = os.getuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    return Actor(user, socket.gethostname())


def noted(verb: str, argument: str, reason: str, now: int) -> Steps[None]:
    """Write an operator's act to the audit, in the act's own transaction, with the `actor`.

    `argument` has names and ids, `reason` the operator's words or nothing; `now` is in microseconds.
    """
    yield from ask(_NOTE, at=now, verb=verb, argument=argument, reason=reason, **actor()._asdict())


@dataclass(frozen=True, slots=True)
class NotedAct:
    """Operator's act as it was noted; `at` is in microseconds."""

    at: int
    argument: str
    reason: str
    by: Actor


async def noted_acts(engine: Engine, verb: str, most: int) -> list[NotedAct]:
    """Return up to `most` acts of that verb, newest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_ACTS, verb=verb, most=most)
    return [
        NotedAct(int(at), str(argument), str(reason), Actor(user, host)) for at, argument, reason, user, host in rows
    ]
