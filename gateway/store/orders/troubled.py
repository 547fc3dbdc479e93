"""Read messages of hospitals that were held or that failed, have one tried again, or set one aside for good.

HL7 v2.5.1 §3.3.40 (A40), decision D48. Each act of an operator is noted in the audit, in its transaction. A
message that was set aside changes nothing any more: what was in doubt or failed because of it goes on.
Proved by tests/contract/test_troubled.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from gateway.store.compression.stored_bytes import decompressed
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask
from gateway.store.feed.audit import noted
from gateway.store.orders.inbound import SettledMessage, settle, source_lock, try_again
from gateway.store.orders.keys import number_text
from gateway.store.orders.number_changes import held_by, let_go
from gateway.store.orders.study_keys import lock_names, refresh_studies
from gateway.store.studies import locks

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
_AGAIN: Final = Statement(
    "UPDATE inbound SET state = 'waiting', code = '', settled = NULL, is_again = 1 WHERE number = :number"
)


@dataclass(frozen=True, slots=True)
class TroubledMessage:
    """Message that was held or failed, and why (`code`); `received` and `settled` are in microseconds.

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
        """Bytes that are kept of the message.

        Raises:
            RowUnreadable: the row is damaged, or was written by a newer release.
        """
        return None if self.body is None else decompressed(self.body)


async def troubled(engine: Engine) -> AsyncIterator[TroubledMessage]:
    """Yield all messages that were held, then all that failed, each in the order in which they were settled.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    for state in get_args(TroubledState):
        settled, after = 0, 0
        while rows := await engine.fetch(_LIST, state=state, settled=settled, after=after, most=_AT_A_TIME):
            for found in map(_message, rows):
                yield found
                settled, after = found.settled, found.number


def troubled_message(number: int) -> Steps[TroubledMessage | None]:
    """Return the message of that number if it was held or failed, as a step of a transaction; else None."""
    rows = yield from ask(_ONE, number=number)
    return _message(rows[0]) if rows and rows[0][_STATE] in get_args(TroubledState) else None


def have_tried_again(message: TroubledMessage, reason: str, now: int) -> Steps[bool]:
    """Let a held message wait again, or all failed ones of its source in their old order; note it in the audit.

    Returns False, and does nothing, if the message is not as it was, or its bytes are deleted.
    """
    yield from locks.take([source_lock(message.source)])
    if message.body is None or (yield from troubled_message(message.number)) != message:
        return False
    if message.state == "failed":
        yield from try_again(message.source)
    else:
        yield from ask(_AGAIN, number=message.number)
    yield from noted("orders-retry", _about(message), reason, now)
    return True


def set_aside(message: TroubledMessage, reason: str, now: int, locked: frozenset[str]) -> Steps[frozenset[str] | None]:
    """Settle a message for good, note it in the audit, and let go on what it stopped; return the numbers concerned.

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


def _message(row: Row) -> TroubledMessage:
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
