"""The time for which this process may send to a destination, by its own clock, which no suspension stops.

Carries out no clause of a standard; decision D33. A fence keeps a holder that was suspended from writing a row; from
writing to a socket only its own clock keeps it (gateway/mllp/permit.py).
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.mllp.permit import Permit
from gateway.runtime import clock
from gateway.store.feed.leases import Lease, LeaseLost, Leases

MARGIN: Final = 0.25  # the share of a lease that is kept as a distance
_MOMENT: Final = 1.0  # seconds for which a renewal that is not wanted any more is waited for


class Tenure:
    """A lease that is renewed while it is held; `permit` is what it lets this process write."""

    def __init__(self, leases: Leases, lease: Lease) -> None:
        self._leases, self.lease, self._seconds = leases, lease, leases.seconds
        self.permit = Permit(self._end())
        self._renewal: asyncio.Task[Lease] | None = None

    def _end(self) -> float:
        return self.lease.until - self._seconds * MARGIN

    async def keep(self) -> None:
        """Renew it again and again, until cancelled.

        A database that does not answer is waited for no longer than the lease is good for, and its call is left alone:
        to cancel it may hang as well.

        Raises:
            LeaseLost: somebody else has it, or may have it by now.
        """
        every = self._seconds / 4
        while True:
            await clock.sleep(every)
            self._renewal = asyncio.create_task(self._leases.renew(self.lease))
            self._renewal.add_done_callback(_heard_of)
            answered, _ = await asyncio.wait({self._renewal}, timeout=max(self.permit.left, every))
            if not answered:
                raise LeaseLost
            self.lease = self._renewal.result()
            self.permit.extend(self._end())

    async def give_back(self) -> None:
        """Let another send at once."""
        if self._renewal is not None and self._renewal.cancel():
            await asyncio.wait({self._renewal}, timeout=_MOMENT)
        await self._leases.give_back(self.lease)


def _heard_of(renewal: asyncio.Task[Lease]) -> None:
    """Fetch the exception of a renewal that has ended, even if nobody waits for it any more."""
    if not renewal.cancelled():
        renewal.exception()
