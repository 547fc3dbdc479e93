"""Store messages of hospitals as they came, give them out in the order of their commits, and settle them.

Carries out no clause of a standard; decision D48. The row of a source is locked while a message is stored, so of one
source the numbers of messages are in the order of the commits.
Proved by tests/contract/test_inbound.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from gateway.index.keys import SEPARATOR, bounded
from gateway.store.compression.stored_bytes import compressed, decompressed
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each, storable

InboundState = Literal["applied", "nothing", "held", "failed"]
AFTER_FAILED: Final = "after-failed"

_LOCK: Final = Statement("SELECT name FROM source WHERE name = :name FOR UPDATE")
_REGISTER: Final = Statement("INSERT INTO source (name, first_seen) VALUES (:name, :now) ON CONFLICT DO NOTHING")
_SAME: Final = Statement(
    "SELECT number FROM inbound WHERE source = :source AND digest = :digest AND sender = :sender"
    " AND control_id = :control_id LIMIT 1"
)
_ADD: Final = Statement(
    "INSERT INTO inbound (source, sender, control_id, digest, structure, received, state, code, body)"
    " VALUES (:source, :sender, :control_id, :digest, :structure, :received, 'waiting', '', :body) RETURNING number"
)
_WAITING: Final = Statement(
    "SELECT number, received, body, is_again FROM inbound WHERE source = :source AND state = 'waiting' ORDER BY number"
    " LIMIT :most"
)
_NEXT: Final = Statement(
    "SELECT number FROM inbound WHERE source = :source AND state = 'waiting' ORDER BY number LIMIT :most"
)
# A renamed source has its messages under its first name; its former names are nobody's
_SOURCES: Final = Statement("SELECT name, origin FROM source WHERE name >= '' AND became = '' ORDER BY name")
_LAST_BEFORE: Final = Statement(
    "SELECT received FROM inbound WHERE source = :source AND received < :before ORDER BY received DESC LIMIT 1"
)
_COUNTS: Final = Statement(
    "SELECT source, COUNT(*) FROM inbound WHERE state = 'waiting' GROUP BY source ORDER BY source"
)
_FAILED_NOW: Final = Statement(
    "SELECT number FROM inbound WHERE state IN ('held', 'failed') AND state = 'failed' AND settled >= 0 LIMIT 1"
)
_HELD_SINCE: Final = Statement(
    "SELECT number FROM inbound WHERE state IN ('held', 'failed') AND settled >= :since AND state = 'held' LIMIT 1"
)
_SETTLE: Final = Statement("UPDATE inbound SET state = :state, code = :code, settled = :now WHERE number = :number")
_DROP_BODY: Final = Statement("UPDATE inbound SET body = NULL WHERE number = :number")
_ADD_KEY: Final = Statement("INSERT INTO inbound_key (key, inbound) VALUES (:key, :number) ON CONFLICT DO NOTHING")
_BLOCKED: Final = Statement("SELECT inbound FROM inbound_key WHERE key IN listed(:keys) LIMIT 1")
_FAILED: Final = Statement(
    "SELECT number FROM inbound WHERE state IN ('held', 'failed') AND state = 'failed' AND settled >= 0"
    " AND source = :source ORDER BY number"
)
_AGAIN: Final = Statement(
    "UPDATE inbound SET state = 'waiting', code = '', settled = NULL WHERE number = :number AND body IS NOT NULL"
)
_DROP_KEYS: Final = Statement("DELETE FROM inbound_key WHERE inbound = :number")


@dataclass(frozen=True, slots=True)
class NewInbound:
    """Message of a source, with MSH-3 and MSH-4, MSH-10, and MSH-9.

    `payload` is what came: it decides if the message is stored already. `kept` is what is stored of it, if not all.
    """

    source: str
    sender: tuple[str, str]
    control_id: str
    structure: str
    payload: bytes
    kept: bytes | None = None


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """Message that is not applied yet; `received` is in microseconds.

    `is_again` is True if an operator has a held message tried again: others may have been applied since it came.
    """

    number: int
    received: int
    body: bytes
    is_again: bool = False

    @property
    def payload(self) -> bytes:
        """Bytes that are kept of the message.

        Raises:
            RowUnreadable: the row is damaged, or was written by a newer release.
        """
        return decompressed(self.body)


class SettledMessage(NamedTuple):
    """Result of applying a message. Without `keeps_body` its bytes are deleted at once."""

    state: InboundState
    code: str = ""
    keeps_body: bool = True


def source_lock(source: str) -> str:
    """Return the name of the lock of a source, for `locks.take`: whoever holds it applies its messages alone."""
    return f"source {source}"


def add_message(message: NewInbound, now: int) -> Steps[int | None]:
    """Store a message and return its number; None if the same bytes of that sender are stored already."""
    if not (yield from ask(_LOCK, name=message.source)):
        yield from ask(_REGISTER, name=message.source, now=now)
        yield from ask(_LOCK, name=message.source)
    values = {
        "source": message.source,
        "sender": bounded(storable(SEPARATOR.join(message.sender))),
        "control_id": bounded(storable(message.control_id)),
        "digest": hashlib.sha256(message.payload).hexdigest(),
    }
    if (yield from ask(_SAME, **values)):
        return None
    body = compressed("inbound", message.payload if message.kept is None else message.kept)
    structure = bounded(storable(message.structure))
    return int((yield from ask(_ADD, structure=structure, received=now, body=body, **values))[0][0])


async def waiting_messages(engine: Engine, source: str, most: int) -> list[WaitingMessage]:
    """Return the messages of a source that come next, in order.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_message(row) for row in await engine.fetch(_WAITING, source=source, most=most)]


async def backlogs(engine: Engine) -> dict[str, int]:
    """Return how many messages of each source wait, also of those that are in no settings.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return {str(source): int(count) for source, count in await engine.fetch(_COUNTS)}


async def last_received(engine: Engine, before: int) -> dict[str, int | None]:
    """Return for each source, by its present name, when its last stored message before an instant came.

    Both are in microseconds. None for a source of which no message is kept.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found: dict[str, int | None] = {}
    for name, origin in await engine.fetch(_SOURCES):
        rows = await engine.fetch(_LAST_BEFORE, source=origin or name, before=before)
        found[str(name)] = int(rows[0][0]) if rows else None
    return found


async def trouble_of(engine: Engine, since: int) -> InboundState | None:
    """Return `failed` if a message failed, `held` if one was held since that instant (microseconds), else None.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    if await engine.fetch(_FAILED_NOW):
        return "failed"
    return "held" if await engine.fetch(_HELD_SINCE, since=since) else None


def are_next(source: str, numbers: Sequence[int]) -> Steps[bool]:
    """Return True if those messages come next, in that order, as a step of the transaction that applies them."""
    rows = yield from ask(_NEXT, source=source, most=len(numbers))
    return [int(number) for (number,) in rows] == list(numbers)


def settle(settled: Mapping[int, SettledMessage], now: int) -> Steps[None]:
    """Settle messages, each by its number."""
    every = [
        {"number": number, "state": one.state, "code": one.code, "now": now} for number, one in sorted(settled.items())
    ]
    yield from ask_each(_SETTLE, every)
    yield from ask_each(_DROP_BODY, [{"number": number} for number, one in settled.items() if not one.keeps_body])


def block(number: int, keys: Iterable[str]) -> Steps[None]:
    """Let later messages with one of these keys wait for a failed message: they will find `is_blocked`."""
    yield from ask_each(_ADD_KEY, [{"key": key, "number": number} for key in sorted(set(keys))])


def is_blocked(keys: Iterable[str]) -> Steps[bool]:
    """Return True if an earlier message with one of these keys failed."""
    return bool((yield from ask(_BLOCKED, keys=json.dumps(sorted(keys)))))


def try_again(source: str) -> Steps[int]:
    """Let the failed messages of a source wait again, in their old order; return how many."""
    numbers = [{"number": int(number)} for (number,) in (yield from ask(_FAILED, source=source))]
    yield from ask_each(_AGAIN, numbers)
    yield from ask_each(_DROP_KEYS, numbers)
    return len(numbers)


def _message(row: Row) -> WaitingMessage:
    number, received, body, is_again = row
    return WaitingMessage(int(number), int(received), bytes(body), bool(is_again))
