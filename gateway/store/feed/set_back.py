"""Move a destination's stored due times back by a given time, after its worker saw the clock go back.

Carries out no clause of a standard; decisions D32, D37.
Proved by tests/contract/test_takeover.py and tests/contract/test_planning.py.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.feed.leases import Lease, held
from gateway.store.feed.messages import NEVER

_MESSAGES: Final = Statement(
    "UPDATE message SET due = due - :by WHERE destination = :destination AND state IN ('queued', 'indeterminate')"
    " AND due > :now AND due < :never"
)
_STALE: Final = Statement(
    "UPDATE message SET stale_until = stale_until - :by WHERE destination = :destination AND stale_until > :now"
    " AND stale_until < :never"
)
_OUTBOX: Final = Statement(
    "UPDATE outbox SET due = due - :by WHERE destination = :destination AND state = 'waiting' AND due > :now"
)
_IN_FORCE: Final = Statement("UPDATE in_force SET since = since - :by WHERE name = :destination AND since > :now")


def set_back(lease: Lease, by: int, now: int) -> Steps[None]:
    """Shift the times that a destination waits for, after the clock went back to `now` by that many microseconds.

    Its settings stay in force since the same moment, in terms of the new clock.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from held(lease)
    yield from ask(_MESSAGES, destination=lease.destination, by=by, now=now, never=NEVER)
    yield from ask(_STALE, destination=lease.destination, by=by, now=now, never=NEVER)
    yield from ask(_OUTBOX, destination=lease.destination, by=by, now=now)
    yield from ask(_IN_FORCE, destination=lease.destination, by=by, now=now)
