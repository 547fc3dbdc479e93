"""Posts an alert to the site's webhook, signed.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (headers, signature scheme).
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

import httpx
from standardwebhooks import Webhook

from gateway import clock
from gateway.log import get_logger
from gateway.settings.feed import Feed
from gateway.settings.values import secrets_in

_SECONDS: Final = 10.0


class AlertHook:
    """The webhook of the settings; without one, alerts are in the log and in the metrics alone."""

    def __init__(self, settings: Feed) -> None:
        self._url = settings.alert_url.get_secret_value() if settings.alert_url else ""
        self._keys = secrets_in(settings.alert_key)

    async def post(self, said: dict[str, Any]) -> bool:
        """Post it; whether it was taken. What was not is posted again by the next round."""
        if not self._url:
            return True
        body = json.dumps(said, separators=(",", ":"))
        message_id, at = f"msg_{secrets.token_hex(16)}", clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
        }
        if self._keys:
            headers["webhook-signature"] = Webhook(self._keys[0]).sign(message_id, at, body)
        try:
            async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
                answer = await client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            get_logger().warning("alert-not-posted", code=type(error).__name__)
            return False
        if not answer.is_success:
            get_logger().warning("alert-not-posted", code="refused", status=answer.status_code)
        return answer.is_success
