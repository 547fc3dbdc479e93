"""Account in memory with the methods of the upstream client: thousands of reports without a request.

A page's cursor is the offset of its first study.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from fakes.seeded import documents

from gateway.runtime.errors import UpstreamNotFound
from gateway.sandbox.seed import generate
from gateway.upstream.answers import Answer

Json = dict[str, Any]
_COUNTED = "completed"


class MemoryAccount:
    """Account that tests may change: studies and `GET /reports` responses by study id, users by id."""

    def __init__(self, documents: Iterator[tuple[Json, Json, tuple[Json, ...]]]) -> None:
        self.studies_by_id: dict[str, Json] = {}
        self.listed: dict[str, Json] = {}
        self.users: dict[str, Json] = {}
        for study, listed, users in documents:
            self.studies_by_id[study["studyId"]], self.listed[study["studyId"]] = study, listed
            self.users |= {user["userId"]: user for user in users}

    @property
    def signed(self) -> int:
        """Number of signed reports."""
        return sum(row["status"] == _COUNTED for listed in self.listed.values() for row in listed["reports"])

    async def studies(
        self,
        study_report_status: Sequence[str] = (),
        is_cancelled: bool | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> AsyncGenerator[Answer, None]:
        wanted = list(self.studies_by_id.values())
        start = int(cursor or 0)
        end = start + limit
        more = end < len(wanted)
        yield Answer({"studies": wanted[start:end], "hasMore": more, **({"cursor": str(end)} if more else {})})

    async def study(self, study_id: str) -> Answer:
        return Answer(_found(self.studies_by_id.get(study_id)))

    async def reports(self, *, study_id: str) -> Answer:
        return Answer(_found(self.listed.get(study_id)))

    async def user(self, user_id: str) -> Answer | None:
        return Answer(self.users[user_id]) if user_id in self.users else None


def _found(value: Json | None) -> Json:
    if value is None:
        raise UpstreamNotFound("GET", status=404)
    return value


def of_many_reports(studies: int, reports: int) -> MemoryAccount:
    """Make an account of sandbox studies, each with many signed originals: copies of its first with a short text."""
    return MemoryAccount(_with_copies(studies, reports))


def _with_copies(studies: int, reports: int) -> Iterator[tuple[Json, Json, tuple[Json, ...]]]:
    for study, listed, users in documents(generate(studies=studies * 2)):
        rows = [one for one in listed["reports"] if one["status"] == _COUNTED]
        if not rows or study["isCancelled"] or studies <= 0:
            continue
        studies -= 1
        copies = [_copy(rows[0], number) for number in range(reports - len(rows))]
        yield study, {**listed, "reports": [*rows, *copies]}, users


def _copy(report: Json, number: int) -> Json:
    digest = hashlib.sha256(f"{report['reportId']}/{number}".encode()).hexdigest()
    return {**report, "reportId": f"rep_{digest[:32]}", "reportPlainText": f"IMPRESSION: Normal, {number}."}
