"""What was to be done at an instant that is still to come, when the clock is set back: as long from now as it was.

Carries out no clause of a standard; decisions D32, D37.
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
    """The clock went back by so many microseconds, to `now`: what waits at the destination waits no longer for it.

    Its settings are in force since the same instant as before, by the clock as it is.

    Raises:
        LeaseLost: somebody else sends there by now.
    """
    yield from held(lease)
    yield from ask(_MESSAGES, destination=lease.destination, by=by, now=now, never=NEVER)
    yield from ask(_STALE, destination=lease.destination, by=by, now=now, never=NEVER)
    yield from ask(_OUTBOX, destination=lease.destination, by=by, now=now)
    yield from ask(_IN_FORCE, destination=lease.destination, by=by, now=now)
