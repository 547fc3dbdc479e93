"""Post alerts and heartbeats to the addresses in the settings, signed if a key is configured.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (headers, signature scheme);
decision D38. A heartbeat goes to a dead man's switch while this process works: silence alerts, since a process that was
killed, is frozen, or cannot write to its database does not beat. That the database cannot be written is posted without
using the database: each process reports its own view, and keeps the alerts already posted only in memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import httpx
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.feed.alerts.conditions import RUNBOOK, next_step
from gateway.feed.alerts.mail import MailHook
from gateway.mllp.listener import CROWDING
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.settings.values import secrets_in

AT_ONCE: Final = "alert_url"
_MINUTE: Final = 60_000_000
_SECONDS: Final = 10.0


class AlertHook:
    """An address to post alerts to.

    `name` identifies it in the stored alerts. `after` is how long a case must be unacknowledged before it is posted, in
    microseconds; 0 for `feed.alert_url`.
    """

    def __init__(self, name: str, after: int, url: SecretStr, key: SecretStr | None) -> None:
        self.name, self.after = name, after
        self._url, self._keys = url.get_secret_value(), secrets_in(key)

    async def post(self, data: Mapping[str, Any], kind: str = "feed.alert") -> bool:
        """Post an alert or another kind of event; return True if the address accepted it."""
        message_id, at = f"msg_{secrets.token_hex(16)}", clock.now()
        body = json.dumps({"type": kind, "timestamp": at.isoformat(), "data": data}, separators=(",", ":"))
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
        }
        if self._keys:
            headers["webhook-signature"] = Webhook(self._keys[0]).sign(message_id, at, body)
        try:
            async with (
                asyncio.timeout(_SECONDS),
                httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                pass  # the body is neither read nor decoded: the status says all
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:  # ValueError: invalid host name
            get_logger().warning("alert-not-posted", operation=self.name, code=type(error).__name__)
            return False
        if not answer.is_success:
            get_logger().warning("alert-not-posted", operation=self.name, code="refused", status=answer.status_code)
        return answer.is_success

    async def post_all(self, news: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Post changes of alerts at once; return of each whether the address accepted it."""
        return await asyncio.gather(*map(self.post, news))


def hooks(settings: Feed) -> Iterator[AlertHook | MailHook]:
    """Yield every alert address of the settings: the immediate one and mail, if configured, then the escalations."""
    if settings.alert_url:
        yield AlertHook(AT_ONCE, 0, settings.alert_url, settings.alert_key)
    if settings.mail_host:
        yield MailHook(settings)
    for escalation in settings.escalate:
        yield AlertHook(
            f"{escalation.minutes:g}",
            int(escalation.minutes * _MINUTE),
            escalation.url,
            escalation.key or settings.alert_key,
        )


def process_alert_data(
    code: str, destination: str, state: str, lasting: tuple[int, datetime], about: str
) -> dict[str, Any]:
    """Return the data of an alert about this process itself, for posting without the monitor of the feed.

    `lasting` is its number, and when it began.
    """
    count, since = lasting
    return {
        "alert": code,
        "destination": destination,
        "state": state,
        "change": "begins" if state == "raised" else "ends",
        "count": count,
        "studies": [],
        "about": [about],
        "next": next_step(code, destination),
        "runbook": f"{RUNBOOK}#{code}",
        "since": since.isoformat(),
        "process": f"{socket.gethostname()}:{os.getpid()}",
    }


NAME: Final = "heartbeat_url"
EVERY: Final = 1.0  # seconds between two looks


class Heartbeat:
    """Heartbeat of this process, posted to an address; it pauses while the database takes no writes."""

    def __init__(self, hook: AlertHook, seconds: float, is_well: Callable[[], bool]) -> None:
        self._hook, self._seconds, self._is_well = hook, seconds, is_well
        self._due = 0.0

    async def run(self) -> None:
        """Beat until cancelled."""
        await forever(self.turn, EVERY, not_done="heartbeat-not-sent")

    async def turn(self) -> None:
        """Post a heartbeat if one is due and this process can write to the database."""
        if self._is_well() and clock.monotonic() >= self._due:
            self._due = clock.monotonic() + self._seconds
            process = f"{socket.gethostname()}:{os.getpid()}"
            await self._hook.post({"process": process, "seconds": self._seconds}, "feed.heartbeat")


def heartbeats(settings: Feed, is_well: Callable[[], bool]) -> Iterator[Heartbeat]:
    """Yield the heartbeat of this process if the settings ask for one."""
    if settings.heartbeat_url is not None:
        hook = AlertHook(NAME, 0, settings.heartbeat_url, settings.alert_key)
        yield Heartbeat(hook, settings.heartbeat_seconds, is_well)


_PATIENCE: Final = 10.0  # seconds that trouble, or its end, must last before it is alerted


class StoreAlarm:
    """Alarm about what a process sees: `trouble` returns the code of an alert, or nothing, and `about` its object."""

    def __init__(
        self, trouble: Callable[[], str], settings: Feed, metrics: Metrics, about: Callable[[], str] = str
    ) -> None:
        self._trouble, self._metrics, self._about = trouble, metrics, about
        self._hooks = [one for one in hooks(settings) if not one.after]
        self._found, self._since, self._at = "", clock.monotonic(), clock.now()
        self._noted, self._object = "", ""
        self._told = dict.fromkeys((one.name for one in self._hooks), "")

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
        for hook in self._hooks:
            told = self._told[hook.name]
            if told not in {"", self._found} and await self._posted(hook, told, "cleared"):
                self._told[hook.name] = told = ""
            if self._found and not told and await self._posted(hook, self._found, "raised"):
                self._told[hook.name] = self._found

    def _look(self) -> None:
        """Note the present trouble, and since when it lasts."""
        if (found := self._trouble()) != self._found:
            self._found, self._since, self._at = found, clock.monotonic(), clock.now()
            self._object = self._about() if found else self._object

    def _note(self) -> None:
        """Log the change once, and set the alert metrics."""
        if self._noted:
            get_logger().info("alert-over", code=self._noted)
            self._metrics.alerted(self._noted, "", 0)
        if self._found:
            get_logger().error("alert", code=self._found)
            self._metrics.alerted(self._found, "", 1)
        self._noted = self._found

    async def _posted(self, hook: AlertHook | MailHook, code: str, state: str) -> bool:
        """Post to an alert address; True if it was accepted. The next turn tries again if not."""
        seconds = int(clock.monotonic() - self._since)
        return await hook.post(process_alert_data(code, "", state, (seconds, self._at), self._object))


def crowding(settings: Feed, metrics: Metrics) -> StoreAlarm:
    """Return the alarm about listeners of this process that have too many connections."""
    return StoreAlarm(lambda: CROWDING.trouble, settings, metrics, lambda: CROWDING.place)
