"""Delete one batch of old messages' bytes and attempts; the caller gives the age and the batch size.

Carries out no clause of a standard; decision D7. Open messages and dead letters keep their bytes.
Proved by tests/contract/test_attempts.py and tests/contract/test_looking.py.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.attempts import delete_attempts

_PURGE: Final = Statement(
    "UPDATE message SET has_body = 0 WHERE number IN (SELECT number FROM message WHERE closed < :before"
    " AND has_body = 1 AND state IN ('delivered', 'superseded', 'recorded') ORDER BY closed LIMIT :most)"
    " RETURNING number"
)


_DROP: Final = Statement("DELETE FROM message_body WHERE number = :number")


def purged(before: int, most: int) -> Steps[int]:
    """Delete the bytes of at most `most` messages settled before that instant (microseconds); return their number."""
    rows = yield from ask(_PURGE, before=before, most=most)
    yield from ask_each(_DROP, [{"number": int(number)} for (number,) in rows])
    yield from delete_attempts([int(number) for (number,) in rows])
    return len(rows)
