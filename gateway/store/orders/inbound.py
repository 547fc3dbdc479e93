"""Store messages of hospitals as they came; settle, block, set aside or retry them; rename their sources.

Carries out no clause of a standard; decision D48.
Proved by tests/contract/test_inbound.py and tests/contract/test_troubled.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, cast, get_args

from gateway.index.keys import SEPARATOR, bounded
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each, storable
from gateway.store.database.facts import noted
from gateway.store.database.kept import compressed, decompressed
from gateway.store.orders.numbers import held_by, let_go, lock_names, number_text, refresh_studies

InboundState = Literal["applied", "nothing", "held", "failed"]
AFTER_FAILED: Final = "after-failed"

_LOCK: Final = Statement("SELECT name FROM source WHERE name = :name FOR UPDATE")
_REGISTER: Final = Statement("INSERT INTO source (name, first_seen) VALUES (:name, :now) ON CONFLICT DO NOTHING")
_SAME: Final = Statement(
    "SELECT number FROM inbound WHERE source = :source AND digest = :digest AND sender = :sender"
    " AND control_id = :control_id LIMIT 1"
)
_ADD_INBOUND: Final = Statement(
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
    "SELECT number, source FROM inbound WHERE state IN ('held', 'failed') AND state = 'failed' AND settled >= 0 LIMIT 1"
)
_HELD_SINCE: Final = Statement(
    "SELECT number, source FROM inbound WHERE state IN ('held', 'failed') AND settled >= :since AND state = 'held'"
    " LIMIT 1"
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
    """Received message to store: its source, MSH-3 and MSH-4, MSH-10, and MSH-9.

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
        """Bytes of the message, decompressed.

        Raises:
            RowUnreadable: the row is damaged, or was written by a newer release.
        """
        return decompressed(self.body)


class SettledMessage(NamedTuple):
    """Outcome of applying a message. Without `keeps_body` its bytes are deleted at once."""

    state: InboundState
    code: str = ""
    keeps_body: bool = True


def source_lock(source: str) -> str:
    """Return the name of a source's lock: only its holder applies messages of the source."""
    return f"source {source}"


def add_message(message: NewInbound, now: int) -> Steps[int | None]:
    """Store a message and return its number; None if that sender's same bytes are stored already."""
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
    return int((yield from ask(_ADD_INBOUND, structure=structure, received=now, body=body, **values))[0][0])


async def waiting_messages(engine: Engine, source: str, most: int) -> list[WaitingMessage]:
    """Return the next messages of a source to apply, in order.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_waiting(row) for row in await engine.fetch(_WAITING, source=source, most=most)]


async def backlogs(engine: Engine) -> dict[str, int]:
    """Count the waiting messages of each source, also of sources that left the settings.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return {str(source): int(count) for source, count in await engine.fetch(_COUNTS)}


async def last_received(engine: Engine, before: int) -> dict[str, int | None]:
    """Return, by the present name of each source, when its last message before an instant was received.

    Both are in microseconds. None for a source of which no message is kept.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found: dict[str, int | None] = {}
    for name, origin in await engine.fetch(_SOURCES):
        rows = await engine.fetch(_LAST_BEFORE, source=origin or name, before=before)
        found[str(name)] = int(rows[0][0]) if rows else None
    return found


async def trouble_of(engine: Engine, since: int) -> tuple[InboundState | None, str]:
    """Return `failed` if a failed message waits for an operator, `held` if one was held since that instant, else None.

    The text beside it names that message and its source.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    for number, source in await engine.fetch(_FAILED_NOW):
        return "failed", f"message {number} of {source}"
    for number, source in await engine.fetch(_HELD_SINCE, since=since):
        return "held", f"message {number} of {source}"
    return None, ""


def are_next(source: str, numbers: Sequence[int]) -> Steps[bool]:
    """Return True if those messages are still the next to apply, in that order; run it in the applying transaction."""
    rows = yield from ask(_NEXT, source=source, most=len(numbers))
    return [int(number) for (number,) in rows] == list(numbers)


def settle(settled: Mapping[int, SettledMessage], now: int) -> Steps[None]:
    """Store the outcomes of messages, by their numbers."""
    every = [
        {"number": number, "state": one.state, "code": one.code, "now": now} for number, one in sorted(settled.items())
    ]
    yield from ask_each(_SETTLE, every)
    yield from ask_each(_DROP_BODY, [{"number": number} for number, one in settled.items() if not one.keeps_body])


def block(number: int, keys: Iterable[str]) -> Steps[None]:
    """Block later messages with one of these keys behind a failed message; `is_blocked` finds them."""
    yield from ask_each(_ADD_KEY, [{"key": key, "number": number} for key in sorted(set(keys))])


def is_blocked(keys: Iterable[str]) -> Steps[bool]:
    """Return True if an earlier failed message has one of these keys."""
    return bool((yield from ask(_BLOCKED, keys=json.dumps(sorted(keys)))))


def try_again(source: str) -> Steps[int]:
    """Queue the failed messages of a source again, in their old order; return how many."""
    numbers = [{"number": int(number)} for (number,) in (yield from ask(_FAILED, source=source))]
    yield from ask_each(_AGAIN, numbers)
    yield from ask_each(_DROP_KEYS, numbers)
    return len(numbers)


def _waiting(row: Row) -> WaitingMessage:
    number, received, body, is_again = row
    return WaitingMessage(int(number), int(received), bytes(body), bool(is_again))


_NAMES: Final = Statement("SELECT became, origin FROM source WHERE name = :name")
_EVERY: Final = Statement("SELECT name, became, origin FROM source WHERE name >= ''")
_ADD_SOURCE: Final = Statement(
    "INSERT INTO source (name, first_seen) VALUES (:name, :now) ON CONFLICT DO NOTHING RETURNING name"
)
_PUT: Final = Statement("UPDATE source SET became = :became, origin = :origin WHERE name = :name")
_FOLLOW: Final = Statement("UPDATE source SET became = :new WHERE name >= '' AND became = :old")


class SourceNotRenamed(Exception):
    """The source cannot take the name: messages exist under both names, or one of them was renamed to `name`.

    `is_own` is True if that one is the present name of the settings, not the former one.
    """

    def __init__(self, name: str = "", *, is_own: bool = False) -> None:
        super().__init__()
        self.name, self.is_own = name, is_own


def renamed(old: str, new: str, now: int) -> Steps[bool]:
    """Rename the source `old` to `new`; False if there is no such source, or it was renamed before.

    `old` is empty for a source without a previous name: then only its name is checked.

    Raises:
        SourceNotRenamed: there are messages under both names, or one of them was renamed since.
    """
    if old:
        yield from locks.take([source_lock(old), source_lock(new)])
    if not (yield from is_to_be_renamed(old, new)):
        return False
    is_known = bool((yield from ask(_NAMES, name=new)))
    is_added = bool((yield from ask(_ADD_SOURCE, name=new, now=now)))
    if not is_known and not is_added:  # a message came under the new name meanwhile
        raise SourceNotRenamed
    ((_, origin),) = yield from ask(_NAMES, name=old)
    first = str(origin) or old
    yield from ask(_FOLLOW, old=old, new=new)
    yield from ask(_PUT, name=new, became="", origin="" if first == new else first)
    yield from ask(_PUT, name=old, became=new, origin="")
    yield from noted("orders-rename", f"{old} {new}", "", now)
    return True


def is_to_be_renamed(old: str, new: str) -> Steps[bool]:
    """True if the new name has not yet replaced the old one.

    Raises:
        SourceNotRenamed: there are messages under both names, or one of them was renamed since.
    """
    own = yield from ask(_NAMES, name=new)
    became = str(own[0][0]) if own else ""
    if became not in {"", old}:
        raise SourceNotRenamed(became, is_own=True)
    known = (yield from ask(_NAMES, name=old)) if old else []
    if not known:
        return False
    if (now := str(known[0][0])) not in {"", new}:
        raise SourceNotRenamed(now)
    if not now and own and not became:
        raise SourceNotRenamed
    return not now


async def first_names(engine: Engine) -> dict[str, str]:
    """Return the first name of each renamed source, by its present name; stored orders keep the first name.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return {str(name): str(origin) for name, _, origin in await engine.fetch(_EVERY) if origin}


async def present_names(engine: Engine) -> dict[str, str]:
    """Return the present name of each renamed source, by its first name.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return {first: name for name, first in (await first_names(engine)).items()}


async def under_first_names(engine: Engine, order_days: Mapping[str, int]) -> dict[str, int]:
    """Return the days of each source, keyed by its first name instead of its present one.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    names = await first_names(engine)
    return {names.get(name, name): days for name, days in order_days.items()}


TroubledState = Literal["held", "failed"]
SET_ASIDE: Final = "set-aside"
_AT_A_TIME: Final = 500
_COLUMNS: Final = "number, source, control_id, structure, received, state, code, settled, body"
_LIST: Final = Statement(
    f"SELECT {_COLUMNS} FROM inbound WHERE state IN ('held', 'failed') AND state = :state AND settled >= :settled"  # noqa: S608 (constants)
    " AND (settled > :settled OR number > :after) ORDER BY settled, number LIMIT :most"
)
_ONE: Final = Statement(f"SELECT {_COLUMNS} FROM inbound WHERE number = :number")  # noqa: S608 (constants)
_STATE: Final = 5  # its place among the columns
_TRY_AGAIN: Final = Statement(
    "UPDATE inbound SET state = 'waiting', code = '', settled = NULL, is_again = 1 WHERE number = :number"
)


@dataclass(frozen=True, slots=True)
class TroubledMessage:
    """Message that was held or failed, with the reason (`code`); `received` and `settled` are in microseconds.

    `body` is None once the bytes are deleted. It is left out of the text of an error.
    """

    number: int
    source: str
    control_id: str
    structure: str
    received: int
    state: TroubledState
    code: str
    settled: int
    body: bytes | None

    def __repr__(self) -> str:
        return f"TroubledMessage({self.number})"

    @property
    def payload(self) -> bytes | None:
        """Bytes of the message, decompressed.

        Raises:
            RowUnreadable: the row is damaged, or was written by a newer release.
        """
        return None if self.body is None else decompressed(self.body)


async def troubled(engine: Engine) -> AsyncIterator[TroubledMessage]:
    """Yield all held messages, then all failed ones, each in the order in which they were settled.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    for state in get_args(TroubledState):
        settled, after = 0, 0
        while rows := await engine.fetch(_LIST, state=state, settled=settled, after=after, most=_AT_A_TIME):
            for found in map(_troubled, rows):
                yield found
                settled, after = found.settled, found.number


def troubled_message(number: int) -> Steps[TroubledMessage | None]:
    """Return the message with that number if it is held or failed, within a transaction; else None."""
    rows = yield from ask(_ONE, number=number)
    return _troubled(rows[0]) if rows and rows[0][_STATE] in get_args(TroubledState) else None


def have_tried_again(message: TroubledMessage, reason: str, now: int) -> Steps[bool]:
    """Queue a held message again, or all failed ones of its source in their old order; write the act to the audit.

    Returns False, and does nothing, if the message is not as it was, or its bytes are deleted.
    """
    yield from locks.take([source_lock(message.source)])
    if message.body is None or (yield from troubled_message(message.number)) != message:
        return False
    if message.state == "failed":
        yield from try_again(message.source)
    else:
        yield from ask(_TRY_AGAIN, number=message.number)
    yield from noted("orders-retry", _about(message), reason, now)
    return True


def set_aside(message: TroubledMessage, reason: str, now: int, locked: frozenset[str]) -> Steps[frozenset[str] | None]:
    """Give up a held or failed message for good, release what it stopped, and write the act to the audit.

    If `locked` lacks one of these, nothing is written: the caller asks again with them. None if the message is not as
    it was. The numbers that a held merge put in doubt are in doubt no more, unless another held message names them, and
    their studies are ingested again. The other failed messages of the source are tried again, in their old order.
    """
    yield from locks.take([source_lock(message.source), *lock_names(locked)])
    if (yield from troubled_message(message.number)) != message:
        return None
    held = yield from held_by(message.number)
    keys = frozenset(number_text(number) for one in held for number in one.change)
    if not keys <= locked:
        return keys
    if message.state == "failed":
        yield from try_again(message.source)  # this one, too, so that it stops nothing any more
    yield from settle({message.number: SettledMessage("nothing", SET_ASIDE)}, now)
    yield from let_go(held, message.number)
    yield from refresh_studies(keys, now)
    yield from noted("orders-set-aside", _about(message), reason, now)
    return keys


def _about(message: TroubledMessage) -> str:
    return f"message {message.number} {message.state} {message.code}"


def _troubled(row: Row) -> TroubledMessage:
    number, source, control_id, structure, received, state, code, settled, body = row
    return TroubledMessage(
        number=int(number),
        source=str(source),
        control_id=str(control_id),
        structure=str(structure),
        received=int(received),
        state=cast(TroubledState, str(state)),
        code=str(code),
        settled=int(settled),
        body=None if body is None else bytes(body),
    )
