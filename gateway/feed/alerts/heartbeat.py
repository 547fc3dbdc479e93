"""Post a heartbeat to a dead man's switch while this process works: silence alerts, since a dead process cannot.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (headers, signature scheme);
decision D38. A process that was killed, is frozen, or cannot write to its database does not beat.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Final

from gateway.feed.alerts.webhook import AlertHook
from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.settings.feed import Feed

NAME: Final = "heartbeat_url"
EVERY: Final = 1.0  # seconds between two looks


class Heartbeat:
    """Heartbeat of this process; `is_well` says if its last write to the database was done, and not long ago."""

    def __init__(self, hook: AlertHook, seconds: float, is_well: Callable[[], bool]) -> None:
        self._hook, self._seconds, self._is_well = hook, seconds, is_well
        self._due = 0.0

    async def run(self) -> None:
        """Beat until cancelled."""
        await forever(self.turn, EVERY, not_done="heartbeat-not-sent")

    async def turn(self) -> None:
        """Beat if a heartbeat is due and this process is well."""
        if self._is_well() and clock.monotonic() >= self._due:
            self._due = clock.monotonic() + self._seconds
            process = f"{socket.gethostname()}:{os.getpid()}"
            await self._hook.post({"process": process, "seconds": self._seconds}, "feed.heartbeat")


def heartbeats(settings: Feed, is_well: Callable[[], bool]) -> Iterator[Heartbeat]:
    """Yield the heartbeat of this process if the settings ask for one."""
    if settings.heartbeat_url is not None:
        hook = AlertHook(NAME, 0, settings.heartbeat_url, settings.alert_key)
        yield Heartbeat(hook, settings.heartbeat_seconds, is_well)
