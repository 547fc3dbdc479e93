"""Renew the lease (right to send to a destination), and stop this process from sending before the lease expires.

Carries out no clause of a standard; decision D33. A fence keeps a process that was suspended from writing to the store.
Only its own clock, which runs on while it is suspended, keeps it from writing to a socket (gateway/mllp/permit.py).
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.mllp.permit import Permit
from gateway.runtime import clock
from gateway.store.feed.leases import Lease, LeaseLost, Leases

MARGIN: Final = 0.25  # the last share of a lease, in which nothing is sent
_MOMENT: Final = 1.0  # seconds to wait for a cancelled renewal


class LeaseGuard:
    """Lease that is renewed while held; `permit` is the time left in which this process may write."""

    def __init__(self, leases: Leases, lease: Lease) -> None:
        self._leases, self.lease, self._seconds = leases, lease, leases.seconds
        self.permit = Permit(self._end())
        self._renewal: asyncio.Task[Lease] | None = None

    def _end(self) -> float:
        """Return the instant at which the permit ends, on the monotonic clock."""
        return self.lease.until - self._seconds * MARGIN

    async def keep(self) -> None:
        """Renew the lease again and again, until cancelled.

        A renewal is awaited only as long as the lease is valid. It is not cancelled then, because cancelling may hang
        as well.

        Raises:
            LeaseLost: another process holds the lease, or may hold it.
        """
        every = self._seconds / 4
        while True:
            await clock.sleep(every)
            self._renewal = asyncio.create_task(self._leases.renew(self.lease))
            self._renewal.add_done_callback(_fetch_exception)
            answered, _ = await asyncio.wait({self._renewal}, timeout=max(self.permit.left, every))
            if not answered:
                raise LeaseLost
            self.lease = self._renewal.result()
            self.permit.extend(self._end())

    async def give_back(self) -> None:
        """Give the lease back, so that another process can take it at once."""
        if self._renewal is not None and self._renewal.cancel():
            await asyncio.wait({self._renewal}, timeout=_MOMENT)
        await self._leases.give_back(self.lease)


def _fetch_exception(renewal: asyncio.Task[Lease]) -> None:
    """Take the exception of an ended renewal, so that it is not reported as lost."""
    if not renewal.cancelled():
        renewal.exception()
