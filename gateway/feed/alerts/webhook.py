"""Post alerts and heartbeats to the addresses in the settings, signed if a key is configured.

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
    """An address to post alerts to.

    `name` identifies it in the stored alerts. `after` is how long a case must be unacknowledged before it is posted, in
    microseconds; 0 for `feed.alert_url`.
    """

    def __init__(self, name: str, after: int, url: SecretStr, key: SecretStr | None) -> None:
        self.name, self.after = name, after
        self._url, self._keys = url.get_secret_value(), secrets_in(key)

    async def post(self, data: Mapping[str, Any], kind: str = "feed.alert") -> bool:
        """Post an alert, or another kind of event; return True if the address took it."""
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


def hooks(settings: Feed) -> Iterator[AlertHook]:
    """Yield every alert address of the settings: the immediate one if configured, then the escalation addresses."""
    if settings.alert_url:
        yield AlertHook(AT_ONCE, 0, settings.alert_url, settings.alert_key)
    for escalation in settings.escalate:
        yield AlertHook(
            f"{escalation.minutes:g}",
            int(escalation.minutes * _MINUTE),
            escalation.url,
            escalation.key or settings.alert_key,
        )


def process_alert_data(code: str, destination: str, state: str, count: int, since: datetime) -> dict[str, Any]:
    """Return the data of an alert about this process itself, for posting without the monitor of the feed."""
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
