"""Record each attempt to send a message: the time, the connection, and the answer as received.

Carries out no clause of a standard; decision D39. Answers can hold patient data: they are kept as long as the bytes of
their message, and nowhere else.
Proved by tests/contract/test_attempts.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, Steps, ask, ask_each

MAX_ANSWER: Final = 65_536  # bytes of an answer that are kept
MOST: Final = 500  # attempts that are kept of one message: the first ones and the last ones
_FIRST: Final = 10
LATE: Final = "late"
TAKEN_OVER: Final = "taken-over"
_ADD: Final = Statement(
    "INSERT INTO attempt (message, place, begun, ended, state, reason, ack, connection, answer) VALUES (:message,"
    " coalesce((SELECT max(a.place) FROM attempt a WHERE a.message = :message), 0) + 1, :begun, :ended, :state,"
    " :reason, :ack, :connection, :answer) RETURNING place"
)
_FORGET: Final = Statement("DELETE FROM attempt WHERE message = :message AND place = :place")
_DROP: Final = Statement("DELETE FROM attempt WHERE message = :message")
_OF_MESSAGE: Final = Statement(
    "SELECT place, begun, ended, state, reason, ack, connection, answer FROM attempt WHERE message = :message"
    " ORDER BY place"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send a message. Times in microseconds; `begun` is None if nothing was sent or the time is unknown.

    `connection` is JSON that names the connection, `answer` the bytes received.
    """

    begun: int | None
    ended: int
    connection: str = ""
    answer: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class KeptAttempt:
    """Stored attempt: its number from 1, and its result (state of the message, reason, acknowledgement)."""

    place: int
    attempt: Attempt
    state: str
    reason: str
    ack: str


def late_answer(described: str, answer: bytes) -> Attempt:
    """Return an attempt for an acknowledgement that came late over that connection, with nothing sent for it."""
    connection = {**json.loads(described or "{}"), "when": LATE}
    return Attempt(None, micros(clock.now()), json.dumps(connection), answer)


def store_attempt(message: int, attempt: Attempt | None, state: str, reason: str, ack: str) -> Steps[None]:
    """Store an attempt to send the message of that number, if there is one, with its result."""
    if attempt is None:
        return
    rows = yield from ask(
        _ADD,
        message=message,
        begun=attempt.begun,
        ended=attempt.ended,
        state=state,
        reason=reason,
        ack=ack,
        connection=attempt.connection,
        answer=attempt.answer[:MAX_ANSWER],
    )
    too_old = int(rows[0][0]) - MOST + _FIRST
    if too_old > _FIRST:
        yield from ask(_FORGET, message=message, place=too_old)


def store_broken_attempts(messages: Sequence[int], now: int) -> Steps[None]:
    """Store an attempt for messages that a holder had in hand when it ended; whether they were sent is unknown."""
    for message in messages:
        yield from store_attempt(message, Attempt(None, now), "indeterminate", TAKEN_OVER, "")


def delete_attempts(messages: Sequence[int]) -> Steps[None]:
    """Delete the attempts of these messages."""
    yield from ask_each(_DROP, [{"message": number} for number in messages])


async def attempts_of(engine: Engine, message: int) -> list[KeptAttempt]:
    """Return the stored attempts of a message, oldest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [
        KeptAttempt(
            int(place),
            Attempt(begun, int(ended), str(connection), bytes(answer)),
            str(state),
            str(reason),
            str(ack),
        )
        for place, begun, ended, state, reason, ack, connection, answer in await engine.fetch(
            _OF_MESSAGE, message=message
        )
    ]
