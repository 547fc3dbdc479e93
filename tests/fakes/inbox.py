"""Store of webhooks in memory, with the interface of gateway/webhooks/event.py; it can be made unreachable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from standardwebhooks import Webhook

from gateway.runtime.metrics import PREFIX, Metrics

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEY = b"0123456789abcdef0123456789abcdef"
NOW = datetime.fromtimestamp(1760000000, UTC)
STUDY, REPORT = f"stu_{'1' * 32}", f"rep_{'2' * 32}"


class Clock:
    """Clock that stands still until it is set."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Kept:
    webhook_id: str
    event_id: str
    kind: str
    body: Mapping[str, Any]
    at: datetime
    attempts: int = 0
    state: str = "due"
    code: str = ""


@dataclass
class Memory:
    """StoredWebhooks and StoredEnrichments in memory. `down` is raised by every method; `gate` delays every method."""

    rows: dict[str, Kept] = field(default_factory=dict)
    kept: dict[str, tuple[str | None, str | None, datetime]] = field(default_factory=dict)
    down: Exception | None = None
    gate: Any = None

    async def record(
        self, webhook_id: str, event_id: str, kind: str, body: Mapping[str, Any], received: datetime
    ) -> bool:
        await self._reach()
        if webhook_id in self.rows or event_id in {row.event_id for row in self.rows.values()}:
            return False
        self.rows[webhook_id] = Kept(webhook_id, event_id, kind, body, received)
        return True

    async def set_aside(self, webhook_id: str, *more: Any) -> bool:
        is_new = await self.record(webhook_id, *more)
        if is_new:
            await self.done(webhook_id, "unknown-kind")
        return is_new

    async def due(self, now: datetime, most: int) -> list[Kept]:
        await self._reach()
        waiting = [row for row in self.rows.values() if row.state == "due" and row.at <= now]
        return sorted(waiting, key=lambda row: row.at)[:most]

    async def done(self, webhook_id: str, code: str = "") -> None:
        await self._reach()
        self.rows[webhook_id].state, self.rows[webhook_id].code = "given up" if code else "done", code

    async def again(self, webhook_id: str, at: datetime, code: str) -> None:
        await self._reach()
        row = self.rows[webhook_id]
        row.at, row.code, row.attempts = at, code, row.attempts + 1

    async def keep(
        self, study_instance_uid: str, accession_number: str | None, patient_id: str | None, at: datetime
    ) -> None:
        await self._reach()
        known = self.kept.get(study_instance_uid)
        if known is None or known[2] < at:
            self.kept[study_instance_uid] = (accession_number, patient_id, at)

    async def _reach(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.down is not None:
            raise self.down


def body(kind: str = "report.delivered", event_id: str = "whe_1", **data: Any) -> bytes:
    """Make the body of an event; a report event without data gets default ids."""
    if kind == "report.delivered" and not data:
        data = {"reportId": REPORT, "studyId": STUDY}
    return json.dumps({"id": event_id, "type": kind, "data": data}).encode()


def signed(content: bytes, webhook_id: str = "msg_1", at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    """Make the headers of a delivery with the library of the vendor's SDK."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, content.decode()),
    }


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Present value of a metric; `name` is without the prefix."""
    return metrics.registry.get_sample_value(PREFIX + name, labels)
