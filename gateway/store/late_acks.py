"""What the application says of a message that was committed before: it is matched by its MSA-2, and written down.

Carries out no clause of a standard; decision D32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.store.holding import hold
from gateway.store.leases import Lease, held
from gateway.store.statements import Statement, Steps, ask

_ACCEPTED: Final = Statement(
    "UPDATE message SET ack = :ack, accepted = :at WHERE destination = :destination AND control_id = :control_id"
    " AND state = 'delivered' AND accepted IS NULL RETURNING study_id"
)
_REFUSED: Final = Statement(
    "UPDATE message SET ack = :ack, state = 'held', reason = :reason, closed = NULL WHERE destination = :destination"
    " AND control_id = :control_id AND state = 'delivered' AND accepted IS NULL RETURNING study_id, number"
)


@dataclass(frozen=True, slots=True)
class Late:
    """An acknowledgement that came after the message was committed: MSA-2, MSA-1, what it means, when."""

    control_id: str
    ack: str
    reason: str
    holds: str
    at: int


def acknowledged(lease: Lease, late: Late) -> Steps[bool]:
    """Write down what the application says of a message that was committed; whether there is such a one.

    Raises:
        LeaseLost: somebody else sends there by now.
    """
    yield from held(lease)
    key = {"destination": lease.destination, "control_id": late.control_id, "ack": late.ack}
    if not late.holds:
        return bool((yield from ask(_ACCEPTED, **key, at=late.at)))
    rows = yield from ask(_REFUSED, **key, reason=late.reason)
    for study_id, number in rows:
        yield from hold(lease.destination, str(study_id), late.holds, int(number), late.at)
    return bool(rows)
