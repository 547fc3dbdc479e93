"""The time for which this process may send to a destination, by its monotonic clock: no suspension stops that.

Carries out no clause of a standard; decision D33. A fence keeps a holder that was suspended from writing a row; from
writing to a socket only its own clock keeps it: what it had begun to write is all that can still get out.
"""

from __future__ import annotations

from typing import Final

from gateway import clock
from gateway.store.leases import Lease, LeaseLost, Leases

MARGIN: Final = 0.25  # the share of a lease that is kept as a distance


class Tenure:
    """A lease that is renewed while it is held."""

    def __init__(self, leases: Leases, lease: Lease) -> None:
        self._leases, self.lease, self._seconds = leases, lease, leases.seconds

    def see_that_it_stands(self) -> None:
        """To be called before anything is written to the receiver.

        Raises:
            LeaseLost: it may have run out.
        """
        if clock.monotonic() > self.lease.until - self._seconds * MARGIN:
            raise LeaseLost

    async def keep(self) -> None:
        """Renew it again and again, until cancelled.

        Raises:
            LeaseLost: somebody else has it.
        """
        while True:
            await clock.sleep(self._seconds / 4)
            self.lease = await self._leases.renew(self.lease)

    async def give_back(self) -> None:
        """Let another send at once."""
        await self._leases.give_back(self.lease)
