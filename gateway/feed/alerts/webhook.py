"""Posts alerts to the addresses of the site, signed.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (headers, signature scheme).
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import httpx
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.feed.alerts.conditions import RUNBOOK
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.settings.feed import Feed
from gateway.settings.values import secrets_in

AT_ONCE: Final = "alert_url"
_MINUTE: Final = 60_000_000
_SECONDS: Final = 10.0


class AlertHook:
    """An address that alerts are posted to: its name, kept with what it was told, and how long it is told nothing.

    `after` is in microseconds, 0 for `feed.alert_url`.
    """

    def __init__(self, name: str, after: int, url: SecretStr, key: SecretStr | None) -> None:
        self.name, self.after = name, after
        self._url, self._keys = url.get_secret_value(), secrets_in(key)

    async def post(self, said: Mapping[str, Any]) -> bool:
        """Post it; whether it was taken."""
        message_id, at = f"msg_{secrets.token_hex(16)}", clock.now()
        body = json.dumps({"type": "feed.alert", "timestamp": at.isoformat(), "data": said}, separators=(",", ":"))
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
        }
        if self._keys:
            headers["webhook-signature"] = Webhook(self._keys[0]).sign(message_id, at, body)
        try:
            async with asyncio.timeout(_SECONDS), httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
                answer = await client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:  # ValueError: no name of a host
            get_logger().warning("alert-not-posted", code=type(error).__name__)
            return False
        if not answer.is_success:
            get_logger().warning("alert-not-posted", code="refused", status=answer.status_code)
        return answer.is_success


def hooks(settings: Feed) -> Iterator[AlertHook]:
    """Every address of the settings: who is told at once, if anybody, then who is told after minutes."""
    if settings.alert_url:
        yield AlertHook(AT_ONCE, 0, settings.alert_url, settings.alert_key)
    for one in settings.escalate:
        yield AlertHook(f"{one.minutes:g}", int(one.minutes * _MINUTE), one.url, one.key or settings.alert_key)


def said_by_process(code: str, destination: str, state: str, count: int, since: datetime) -> dict[str, Any]:
    """The data of an alert that a process tells of itself, whoever watches over the feed."""
    return {
        "alert": code,
        "destination": destination,
        "state": state,
        "change": "begins" if state == "raised" else "ends",
        "count": count,
        "studies": [],
        "runbook": f"{RUNBOOK}#{code}",
        "since": since.isoformat(),
        "process": f"{socket.gethostname()}:{os.getpid()}",
    }
