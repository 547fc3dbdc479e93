"""Gateways in one process over random accounts, under one clock; one of them never had what a client may not see."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from fakes.store import resource_of
from fakes.twins.accounts import SITE, UNCHECKED, MemoryAutoScribe, RandomStudies, manner_of_pdf

from gateway.auth.access import Access, give_access
from gateway.fhir_api.application import application
from gateway.fhir_api.facade import Facade
from gateway.fhir_api.search.page_token import Tokens
from gateway.index.keys import key
from gateway.ingest import Pipeline
from gateway.ingest.read_through import ReadThrough
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamNotFound
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration, Server, Settings
from gateway.store import study_rows
from gateway.store.database.engine import Statement, ask_each, micros
from gateway.store.database.postgres import PLANNED_EACH, Postgres, _Open
from gateway.store.stored_reports import Pdfs
from gateway.store.studies.crawling import Finished, Running, SweepRecord
from gateway.store.studies.write_versions import catch_up
from mappings.fhir.resource_types import types_at
from mappings.issues import MappingIssue

Json = dict[str, Any]
Hides = Callable[[Collection[Json]], tuple[set[str], set[str]]]
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOST = b"127.0.0.1:8800"
BASE = "http://127.0.0.1:8800/fhir"
_EVERY = Statement(
    "SELECT v.body, v.version, v.updated, r.number FROM resource r JOIN version v ON v.resource = r.number"
    " AND v.version = r.version"
    " ORDER BY r.address"
)
_DROPS = [
    Statement(f"DELETE FROM {table} WHERE {column} = :number")
    for table, column in (("term", "resource"), ("moment", "resource"), ("version", "resource"), ("resource", "number"))
]
# Of a resource that is bared, nothing stays but its address, its study, and the references that place it
_PLACES = [(kind, name) for kind in types_at("member") for name in ("patient", "performer")]
_PLACING = ", ".join(str(key(*place)) for place in (*_PLACES, ("Patient", "organization")))
_EMPTY = b"{}"
_BARES = [
    Statement(f"DELETE FROM term WHERE resource = :number AND key NOT IN ({_PLACING})"),
    Statement("DELETE FROM moment WHERE resource = :number"),
    Statement("UPDATE version SET body = :empty, faults = NULL WHERE resource = :number"),
    Statement("UPDATE resource SET type = 'Hidden', is_suppressed = 0, term_set = NULL WHERE number = :number"),
]
_FAULT = MappingIssue("fhir-structure", "error", "/status", "refused")


class TwinPostgres(Postgres):
    """PostgreSQL under the clock of the twins, without the bell, whose waits end at once here."""

    async def now(self) -> int:
        return micros(clock.now())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            quick, slow = await self._kept(stack, 2), await self._pool(stack, 1, PLANNED_EACH)
            self._open = _Open(quick, slow, quick)
            yield


class TwinClock:
    """Clock that stands still until it is moved; waits end at once."""

    def __init__(self, monkeypatch: Any) -> None:
        self.at = START
        monkeypatch.setattr(clock, "now", self.now)
        monkeypatch.setattr(clock, "monotonic", self.monotonic)
        monkeypatch.setattr(clock, "sleep", _no_wait)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


async def _no_wait(seconds: float) -> None:
    return None


def suppress_unchecked(monkeypatch: Any) -> None:
    """Let a report whose text has the word `UNCHECKED` fail the check that all resources go through."""
    judged = study_rows.judge_all

    def judge_all(resources: Any, *_: Any) -> Any:
        marked = [UNCHECKED in json.dumps(one) and one["resourceType"] != "Patient" for one in resources]
        return [(*found, _FAULT) if mark else found for found, mark in zip(judged(resources), marked, strict=True)]

    monkeypatch.setattr(study_rows, "judge_all", judge_all)


@dataclass(frozen=True)
class Answer:
    """Answer to a request, whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class PurgingReads:
    """Reader of AutoScribe that forgets at once what the client may not see."""

    def __init__(self, reads: ReadThrough, twin: Twin) -> None:
        self._reads, self._twin = reads, twin

    def __getattr__(self, name: str) -> Any:
        async def called(*given: Any, **more: Any) -> Any:
            try:
                return await getattr(self._reads, name)(*given, **more)
            finally:
                await self._twin.purge()

        return called


class Twin:
    """A gateway with a store of its own, over an AutoScribe of its own. `hides` says what it never had."""

    def __init__(self, engine: Any, upstream: MemoryAutoScribe, *, hides: Hides | None, is_indexed: bool) -> None:
        self.engine, self.upstream, self.hides = engine, upstream, hides
        self.pipeline = Pipeline(self.engine, SITE, UTC, has_words=True)  # type: ignore[arg-type]
        self.reads = ReadThrough(upstream, self.engine, self.pipeline, Metrics())  # type: ignore[arg-type]
        settings = Settings.model_construct(server=Server())
        self.app = application(Configuration(settings, SITE, "test"), Metrics(), None, serves_fhir=True)  # type: ignore[arg-type]
        self.is_indexed, self.seen = is_indexed, 0
        self._known: dict[str, tuple[int, Json]] = {}  # what is bared is remembered here
        self.app.state.facade = Facade(
            upstream=upstream,  # type: ignore[arg-type]
            engine=self.engine,  # type: ignore[arg-type]
            reads=PurgingReads(self.reads, self) if hides else self.reads,  # type: ignore[arg-type]
            site=SITE,
            zone=UTC,
            started=START,
            tokens=Tokens(SITE.site_key),
            sweep=self._sweep,
            max_index_age=lambda: 1e9,
            has_words=True,
        )

    def _sweep(self) -> SweepRecord:
        """Return the progress of the index: whole, or under way."""
        if self.is_indexed:
            return SweepRecord(sweeps=1, finished=Finished(START, START, self.seen))
        return SweepRecord(running=Running(START, studies=self.seen))

    async def ingest(self, study_id: str) -> None:
        """Ingest a study as it is now, and then the PDFs that are to be stored."""
        try:
            await self.reads.study(study_id, fresh=True)
        except UpstreamNotFound:
            return
        pdfs = Pdfs(self.engine)  # type: ignore[arg-type]
        for wanted in await pdfs.wanted(clock.now(), 100):
            manner = manner_of_pdf(wanted.report_id)
            if manner == "streamed":
                continue
            claim = await pdfs.claim(wanted)
            if manner == "refused":
                await claim.give_up("pdf-unavailable", 1)
                continue
            async with self.upstream.stream_pdf(wanted.report_id) as stream:
                async for data in stream:
                    await claim.write(data)
            untold = await claim.keep()
            await self.pipeline.refresh(untold.study_id)
            await pdfs.told(untold)

    async def resources(self) -> dict[str, Json]:
        """Return the current version of each stored resource, by address."""
        found = [one for *row, _ in await self.engine.fetch(_EVERY) if (one := resource_of(*row))]
        return {f"{one['resourceType']}/{one['id']}": one for one in found}

    async def purge(self) -> None:
        """Take everything out of the store that this gateway never had."""
        if self.hides is None:
            return
        for *row, number in await self.engine.fetch(_EVERY):
            if one := resource_of(*row):
                self._known[f"{one['resourceType']}/{one['id']}"] = int(number), one
        for addresses, statements in zip(
            self.hides([one for _, one in self._known.values()]), (_DROPS, _BARES), strict=True
        ):
            values = [{"number": self._known[one][0], "empty": _EMPTY} for one in addresses]
            for statement in statements:
                await self.engine.do(partial(ask_each, statement, values))
            if statements is _DROPS:
                self._known = {place: known for place, known in self._known.items() if place not in addresses}

    async def ask(self, wanted: Asked, access: Access | None) -> Answer:
        """Send a request with this access, and return the answer."""
        path, _, query = wanted.path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": wanted.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", HOST), *((name.encode(), value.encode()) for name, value in wanted.headers)],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8800),
            "state": {},
        }
        if access is not None:
            give_access(scope, access)
        sent: list[Any] = []
        bodies = [{"type": "http.request", "body": wanted.body, "more_body": False}]

        async def receive() -> Any:
            return bodies.pop() if bodies else await asyncio.Event().wait()  # the client stays

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        headers = tuple((name.decode(), value.decode()) for name, value in sent[0]["headers"])
        return Answer(sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:]))


@dataclass(frozen=True)
class Asked:
    """A request; `path` is with its query."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass
class Twins:
    """The gateway that has everything, and the one that never had the hidden data, for one client."""

    whole: Twin
    bare: Twin
    access: Access


async def _no_words(_: Any) -> list[str]:
    return []


async def grow(twin: Twin, studies: RandomStudies, time: TwinClock) -> None:
    """Let a gateway ingest all states of the studies that its AutoScribe knows, each at its instant."""
    time.at = START
    while await catch_up(twin.engine, _no_words, has_words=True):  # nothing is stored yet
        pass
    reached: Counter[str] = Counter()
    for study in studies.order:
        time.forward(90)
        if study.study_id in twin.upstream.known:
            twin.upstream.current[study.study_id] = study.states[reached[study.study_id]]
            await twin.ingest(study.study_id)
        reached[study.study_id] += 1
    twin.seen = len(twin.upstream.current)
    await twin.purge()
    time.forward(90)
