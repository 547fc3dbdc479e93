"""Fakes of the crawl's partners in memory: an account, an index that ingests its studies, cursors and an observer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from fakes.upstream_json import study_json

from gateway.crawl.ports import Crawl
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamError, UpstreamNotFound, UpstreamUnprocessable
from gateway.settings import Sync
from gateway.upstream.answers import Answer

Json = Mapping[str, Any]


def study_id(number: int) -> str:
    return f"stu_{number:032x}"


def study(number: int, status: str = "completed", **more: Any) -> dict[str, Any]:
    return study_json(
        studyId=study_id(number), studyInstanceUid=f"1.2.{number}", studyReportStatus=status, reportIds=[], **more
    )


class Account:
    """Methods of the upstream client that a crawl needs; a page's cursor is the offset of its first study."""

    def __init__(self, *studies: dict[str, Any], latency: float = 0) -> None:
        self.studies_by_id = {one["studyId"]: one for one in studies}
        self.latency = latency
        self.trouble: Callable[[str], UpstreamError | None] = lambda _: None
        self.calls: list[tuple[float, str]] = []
        self.under_way = self.most_under_way = 0
        self.page_size: int | None = None

    def change(self, number: int, status: str = "completed", **more: Any) -> None:
        self.studies_by_id[study_id(number)] = study(number, status, updatedAt=clock.now().isoformat(), **more)

    def asked(self, kind: str) -> list[str]:
        """Requests of that kind: the cursors of pages, or the ids of studies."""
        return [call.partition(" ")[2] for _, call in self.calls if call.split(" ")[0] == kind]

    async def studies(
        self,
        study_report_status: Sequence[str] = (),
        is_cancelled: bool | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> AsyncGenerator[Answer, None]:
        kind = "open" if study_report_status else "cancelled" if is_cancelled else "page"
        size = self.page_size or limit
        while True:
            await self._answer(f"{kind} {cursor}")
            wanted = [
                one
                for one in self.studies_by_id.values()
                if (not study_report_status or one["studyReportStatus"] in study_report_status)
                and (is_cancelled is None or one["isCancelled"] is is_cancelled)
            ]
            start = int(cursor or 0)
            page = self.made(wanted[start : start + size])
            more = start + size < len(wanted)
            cursor = str(start + size)
            yield Answer({"studies": page, "hasMore": more, **({"cursor": cursor} if more else {})})
            if not more:
                return

    def made(self, page: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Studies of a page as the account returns them."""
        return page

    async def study(self, study_id: str) -> Answer:
        await self._answer(f"study {study_id}")
        if study_id not in self.studies_by_id:
            raise UpstreamNotFound("GET /studies/{}", status=404)
        return Answer(self.studies_by_id[study_id])

    async def reports(self, *, study_id: str) -> Answer:
        await self._answer(f"reports {study_id}")
        return Answer({"reports": [], "studyId": study_id, "studyInstanceUid": "1.2"})

    async def _answer(self, call: str) -> None:
        self.calls.append((clock.monotonic(), call))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.latency:
                await clock.sleep(self.latency)
            error = self.trouble(call)
            if error is not None:
                raise error
        finally:
            self.under_way -= 1


def refuses_cursors(call: str) -> UpstreamError | None:
    kind, _, cursor = call.partition(" ")
    return UpstreamUnprocessable("GET /studies", status=422) if kind == "page" and cursor else None


class Index:
    """Store of studies: ingests them with their reports, and knows when they were listed and fetched."""

    def __init__(self, upstream: Any) -> None:
        self.upstream = upstream
        self.stored: dict[str, Json] = {}
        self.fetched: dict[str, datetime] = {}
        self.listed: dict[str, datetime] = {}
        self.taken_in: list[str] = []

    async def __call__(self, study_id: str, *, listed: Json | None) -> None:
        found = listed if listed is not None else (await self.upstream.study(study_id)).value
        with suppress(UpstreamNotFound):
            await self.upstream.reports(study_id=study_id)
        self.stored[study_id], self.fetched[study_id] = dict(found), clock.now()
        self.listed.setdefault(study_id, clock.now())
        self.taken_in.append(study_id)

    async def stale(self, listed: Sequence[Json], stale_before: Callable[[Json], datetime]) -> list[str]:
        self.listed |= {one["studyId"]: clock.now() for one in listed}
        return [
            one["studyId"]
            for one in listed
            if self.stored.get(one["studyId"]) != one or self.fetched[one["studyId"]] < stale_before(one)
        ]

    async def missing(self, sweep_started: datetime) -> list[str]:
        signed = [key for key, one in self.stored.items() if one["studyReportStatus"] == "completed"]
        return [key for key in signed if self.listed[key] < sweep_started]


class Cursors:
    """Cursors that pass through JSON, as in a database."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.puts: list[str] = []

    async def get(self, name: str) -> Any:
        return json.loads(self.kept[name]) if name in self.kept else None

    async def put(self, name: str, value: Json) -> None:
        await clock.sleep(0)
        self.kept[name] = json.dumps(value)
        self.puts.append(name)


class Noted:
    """Observer that records its calls."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.rounds: list[tuple[str, int]] = []
        self.failed: list[str] = []
        self.missed: list[int] = []
        self.throttles: list[float] = []

    def ingested(self, trigger: str, outcome: str) -> None:
        self.outcomes[trigger, outcome] += 1

    def finished_round(self, loop: str, at: datetime, seconds: float, studies: int) -> None:
        assert at.tzinfo is not None
        assert seconds >= 0
        self.rounds.append((loop, studies))

    def failed_round(self, loop: str) -> None:
        self.failed.append(loop)

    def missing(self, count: int) -> None:
        self.missed.append(count)

    def throttled(self, seconds: float) -> None:
        self.throttles.append(seconds)


def crawl_of(account: Any, index: Any = None, cursors: Any = None, **settings: Any) -> Crawl:
    """Make a crawl of that account into an index of its own, unless one is given."""
    index = index or Index(account)
    return Crawl(account, index, index, cursors or Cursors(), Sync(**settings), Noted())
