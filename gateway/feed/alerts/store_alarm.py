"""Tells of a store that takes no writes, and that it does again, without the store: each process what it has seen.

Carries out no clause of a standard; decision D38. What was told is in memory alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.feed.alerts.webhook import AT_ONCE, hooks, said_by_process
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed

EVERY: Final = 1.0  # seconds
_PATIENCE: Final = 10.0  # seconds for which it must be so, or so no more, before it is told


class StoreAlarm:
    """The watch over the store by this process; `trouble` says what keeps it from taking writes, or nothing."""

    def __init__(self, trouble: Callable[[], str], settings: Feed, metrics: Metrics) -> None:
        self._trouble, self._metrics = trouble, metrics
        self._hooks = [one for one in hooks(settings) if one.name == AT_ONCE]
        self._found, self._since, self._at = "", clock.monotonic(), clock.now()
        self._noted = self._told = ""

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        await forever(self.turn, EVERY, not_done="store-trouble-not-told")

    async def turn(self) -> None:
        """Tell what has been so for long enough and was not told."""
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
        if (found := self._trouble()) != self._found:
            self._found, self._since, self._at = found, clock.monotonic(), clock.now()

    def _note(self) -> None:
        """Say it in the log and the metrics, once."""
        if self._noted:
            get_logger().info("alert-over", code=self._noted)
            self._metrics.alerted(self._noted, "", 0)
        if self._found:
            get_logger().error("alert", code=self._found)
            self._metrics.alerted(self._found, "", 1)
        self._noted = self._found

    async def _posted(self, code: str, state: str) -> bool:
        """Post it; whether it was taken. What was not is posted again by the next turn."""
        said = said_by_process(code, "", state, int(clock.monotonic() - self._since), self._at)
        return all([await hook.post(said) for hook in self._hooks])
