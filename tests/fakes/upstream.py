"""AutoScribe in memory with the methods of the upstream client: it answers at once, or waits at a gate."""

from __future__ import annotations

import asyncio
from typing import Any

from fakes.upstream_json import STUDY_ID, STUDY_UID, USER_ID, report_json, response_json, study_json, user_json

from gateway.runtime.errors import UpstreamError, UpstreamNotFound
from gateway.upstream.answers import Answer


class FakeUpstream:
    """Upstream whose data tests may change; an exception in place of data is raised."""

    def __init__(self, *reports: dict[str, Any], **study: Any) -> None:
        self.studies: dict[str, Any] = {STUDY_ID: study_json(**study)}
        self.listed: Any = response_json(*(reports or [report_json()]))
        self.users: dict[str, Any] = {USER_ID: user_json()}
        self.calls: list[str] = []
        self.gate: asyncio.Event | None = None

    async def study(self, study_id: str) -> Answer:
        return await self._say(f"study {study_id}", self.studies.get(study_id))

    async def study_by_uid(self, study_instance_uid: str) -> Answer:
        found = [one for one in self.studies.values() if one["studyInstanceUid"] == study_instance_uid]
        return await self._say(f"uid {study_instance_uid}", found[0] if found else None)

    async def reports(self, *, study_id: str) -> Answer:
        return await self._say(f"reports {study_id}", self.listed)

    async def report_text(self, report_id: str) -> Answer:
        return await self._say(f"text {report_id}", {"reportId": report_id, "studyId": STUDY_ID, "plainText": "x"})

    async def user(self, user_id: str) -> Answer | None:
        if user_id not in self.users:
            self.calls.append(f"user {user_id}")
            return None
        return await self._say(f"user {user_id}", self.users[user_id])

    async def _say(self, call: str, value: Any) -> Answer:
        self.calls.append(call)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(value, UpstreamError):
            raise value
        if value is None:
            raise UpstreamNotFound(call.partition(" ")[0], status=404)
        return Answer(value)


__all__ = [
    "STUDY_ID",
    "STUDY_UID",
    "USER_ID",
    "FakeUpstream",
    "report_json",
    "response_json",
    "study_json",
    "user_json",
]
