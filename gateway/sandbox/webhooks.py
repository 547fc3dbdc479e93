"""Send signed `report.delivered` webhook events from the sandbox to one configured URL.

Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.sandbox.dice import Dice
from gateway.sandbox.switches import Switches

Json = dict[str, Any]

OLD_KEY: Final = "whsec_b2xkLXNhbmRib3gtd2ViaG9vay1rZXk="
_TIMEOUT: Final = 10.0
_SWAP_DELAY: Final = 0.3
_LONGEST_WAIT: Final = 10.0


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Target of events: URL, signing key (`whsec_` + base64), and wait before the second attempt.

    The wait is in seconds. It is four times as long before each further attempt, up to 10 s.

    Raises:
        ConfigError: the URL is no HTTP URL, or the key is not base64.
    """

    url: str
    key: str
    wait: float = 0.1

    def __post_init__(self) -> None:
        place = urlsplit(self.url)
        if place.scheme not in {"http", "https"} or not place.hostname:
            raise ConfigError(
                "--webhook-url", "URL", "not one of HTTP", "Write http://127.0.0.1:8800/webhooks/autoscribe."
            )
        try:
            Webhook(self.key)
        except (ValueError, EmptyWebhookSecretError):
            raise ConfigError("--webhook-key", "key", "not base64", "Write whsec_ and the key in base64.") from None


def signature(key: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Compute the `webhook-signature` of a body: `v1,` + base64 of HMAC-SHA256 over id, timestamp and body."""
    return Webhook(key).sign(webhook_id, datetime.fromtimestamp(timestamp, UTC), body.decode())


class WebhookSender:
    """Listener of the account that sends each delivered report as an event in the background, with retries.

    `link` makes the presigned URL of a report. Call the sender on a running event loop.
    """

    def __init__(self, target: WebhookTarget, switches: Switches, seed: int, link: Callable[[str], str]) -> None:
        self.target, self.switches, self.seed, self.link = target, switches, seed, link
        self.delivered: list[str] = []
        self.given_up: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_order = asyncio.Lock()
        self._count = 0

    def __call__(self, study: Json, report: Json) -> None:
        """Send the event for a signed report."""
        self._count += 1
        dice = Dice(self.seed, "event", self._count)
        body = json.dumps(self._event(f"whe_{dice.hex32()}", study, report), ensure_ascii=False).encode()
        webhook_id = json.loads(body)["id"] if self.switches.webhook_id == "body_id" else f"msg_{dice.hex32()}"
        delay = _SWAP_DELAY if self.switches.webhook_order == "swapped" and self._count % 2 else 0.0
        for _ in range(2 if self.switches.webhook_copies == "twice" else 1):
            task = asyncio.get_running_loop().create_task(self._deliver(webhook_id, body, delay))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until all deliveries have ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Cancel all deliveries."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _event(self, event_id: str, study: Json, report: Json) -> Json:
        data = {
            "isCritical": bool(report["isCritical"]),
            "presignedUrl": self.link(report["reportId"]),
            "reportId": report["reportId"],
            "studyId": report["studyId"],
        }
        if self.switches.webhook_fields == "all":
            data["studyInstanceUid"] = study["studyInstanceUid"]
            data["externalPatientId"] = study.get("externalPatientId")
            data["plainText"] = report.get("reportPlainText", "")
        return {"id": event_id, "type": "report.delivered", "data": data}

    async def _deliver(self, webhook_id: str, body: bytes, delay: float) -> None:
        turn: AbstractAsyncContextManager[Any] = (
            nullcontext() if self.switches.webhook_order == "swapped" else self._in_order
        )
        async with turn:
            await clock.sleep(delay)
            for attempt in range(int(self.switches.webhook_attempts)):
                await clock.sleep(min(self.target.wait * 4 ** (attempt - 1), _LONGEST_WAIT) if attempt else 0)
                if await asyncio.to_thread(self._post, webhook_id, body):
                    self.delivered.append(webhook_id)
                    return
            self.given_up.append(webhook_id)

    def _post(self, webhook_id: str, body: bytes) -> bool:
        place = urlsplit(self.target.url)
        connect = HTTPSConnection if place.scheme == "https" else HTTPConnection
        connection = connect(str(place.hostname), place.port, timeout=_TIMEOUT)
        try:
            connection.request("POST", place.path or "/", body, self._headers(webhook_id, body))
            answer = connection.getresponse()
            answer_body = answer.read()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        return self._accepted(answer.status, answer_body)

    def _headers(self, webhook_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(clock.now().timestamp())
        signatures = [signature(self.target.key, webhook_id, timestamp, body)]
        if self.switches.webhook_signatures == "rotated":
            signatures.insert(0, signature(OLD_KEY, webhook_id, timestamp, body))
        return {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }

    def _accepted(self, status: int, said: bytes) -> bool:
        if not 200 <= status < 300:
            return False
        return self.switches.webhook_accepts == "2xx" or b'"success":true' in said.replace(b" ", b"")
