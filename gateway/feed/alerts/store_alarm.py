"""Alert operators when the database cannot be written, and when writes work again, without using the database.

Carries out no clause of a standard; decision D38. Each process reports its own view. The alerts already posted are kept
in memory only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.feed.alerts.webhook import AT_ONCE, hooks, process_alert_data
from gateway.mllp.listener import CROWDING
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed

EVERY: Final = 1.0  # seconds
_PATIENCE: Final = 10.0  # seconds that trouble, or its end, must last before it is alerted


class StoreAlarm:
    """Monitor of the store by this process; `trouble` returns the code of what stops writes, or an empty string."""

    def __init__(self, trouble: Callable[[], str], settings: Feed, metrics: Metrics) -> None:
        self._trouble, self._metrics = trouble, metrics
        self._hooks = [one for one in hooks(settings) if one.name == AT_ONCE]
        self._found, self._since, self._at = "", clock.monotonic(), clock.now()
        self._noted = self._told = ""

    async def run(self) -> None:
        """Check and report every second, until cancelled."""
        await forever(self.turn, EVERY, not_done="store-trouble-not-told")

    async def turn(self) -> None:
        """Report trouble that has lasted for `_PATIENCE`, or its end, if not reported yet."""
        self._look()
        if clock.monotonic() - self._since < _PATIENCE:
            return
        if self._noted != self._found:
            self._note()
        if self._told not in {"", self._found} and await self._posted(self._told, "cleared"):
            self._told = ""
        if self._found and not self._told and await self._posted(self._found, "raised"):
            self._told = self._found

    def _look(self) -> None:
        """Note the current trouble, and since when it has lasted."""
        if (found := self._trouble()) != self._found:
            self._found, self._since, self._at = found, clock.monotonic(), clock.now()

    def _note(self) -> None:
        """Log the change once, and set the alert metrics."""
        if self._noted:
            get_logger().info("alert-over", code=self._noted)
            self._metrics.alerted(self._noted, "", 0)
        if self._found:
            get_logger().error("alert", code=self._found)
            self._metrics.alerted(self._found, "", 1)
        self._noted = self._found

    async def _posted(self, code: str, state: str) -> bool:
        """Post an alert to the site's alert address; return True if it was taken. The next turn posts again if not."""
        data = process_alert_data(code, "", state, int(clock.monotonic() - self._since), self._at)
        return all([await hook.post(data) for hook in self._hooks])


def crowding() -> str:
    """Return the code of the alert while listeners of this process are crowded, else an empty string."""
    return CROWDING.trouble
