"""Decision D21: data that is not visible upstream changes nothing, even if AutoScribe shows nothing for an hour.

RFC 9111 §5.1 (`Age`); in simulated time, through all real parts of the service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fakes.simulated import Account, configured, installed
from fakes.store import resource_of
from fakes.virtual_clock import VirtualClock
from starlette.responses import JSONResponse
from structlog.testing import capture_logs

from gateway.app import create_app
from gateway.store.database.sqlite import Sqlite

BASE = "http://127.0.0.1:8800"
HOUR = 3_600.0
SEARCH = "/fhir/DiagnosticReport?date=ge2000&_count=1"
_STATE = "SELECT (SELECT count(*) FROM version), (SELECT count(*) FROM outbox), (SELECT max(number) FROM outbox)"
_REPORTS = (
    "SELECT r.address, v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
    " AND v.version = r.version"
    " WHERE r.type = 'DiagnosticReport'"
)
_STUDIES = {"studies": [], "hasMore": False}
API = "/v1/autoScribe"


@dataclass
class Lying:
    """ASGI wrapper that answers as `said` lists, by the longest matching path prefix, in place of the sandbox."""

    app: Any
    said: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "").removeprefix(API)
        place = max((one for one in self.said if path.startswith(one)), key=len, default=None)
        if scope["type"] != "http" or place is None:
            await self.app(scope, receive, send)
            return
        body = self.said[place]
        if body == "nothing":
            study_id = dict(pair.split("=") for pair in scope["query_string"].decode().split("&"))["studyId"]
            uid = self.app.state.account.studies[study_id]["studyInstanceUid"]
            body = {"reports": [], "studyId": study_id, "studyInstanceUid": uid}
        status = 404 if body is None else 200
        await JSONResponse({"error": "not found"} if body is None else body, status)(scope, receive, send)


@dataclass
class Stage:
    """A gateway that serves and crawls, an upstream that can lie, and the clock of both."""

    account: Account
    client: httpx.AsyncClient
    engine: Sqlite
    time: VirtualClock
    upstream: Lying

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(BASE + path)

    async def state(self) -> tuple[Any, ...]:
        (row,) = await self.engine.query(_STATE, [])
        return tuple(row)

    async def is_complete(self) -> bool:
        answer = await self.get("/readyz")
        assert answer.status_code == 200
        return bool(answer.json()["index"]["complete"])


@asynccontextmanager
async def stage(monkeypatch: Any, sqlite_engine: Sqlite):
    """Run all parts; yield after the first sweep has ended."""
    time, _ = installed(monkeypatch)
    account, upstream = Account(120), []

    def wrap(sandbox: Any) -> Lying:
        upstream.append(Lying(sandbox))
        return upstream[0]

    async with configured(account, f"sqlite:///{sqlite_engine.path}", wrap, max_index_age=1_800) as configuration:
        app = create_app(configuration, ("api", "sync"))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client,
        ):
            at = Stage(account, client, sqlite_engine, time, upstream[0])
            while not await at.is_complete():
                await time.run_for(1)
            await time.run_for(90)
            yield at


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """Capture the log, which has a line for each failure of an hour."""
    with capture_logs() as found:
        yield found


LIES = {
    "404": {"": None},
    "[]": {"": []},
    "no studies, 404": {"": None, "/studies": _STUDIES, "/studies/": None, "/reports": "nothing"},
    "no studies, no reports": {"/studies": _STUDIES, "/studies/": None, "/reports": "nothing"},
}

# The others differ from this one in the form of an answer
USUAL = {"no studies, no reports"}


@pytest.mark.parametrize("lie", [one if one in USUAL else pytest.param(one, marks=pytest.mark.soak) for one in LIES])
async def test_an_hour_of_nothing_withdraws_nothing_and_is_said(lie, monkeypatch, sqlite_engine, say):
    async with stage(monkeypatch, sqlite_engine) as at:
        before, searched = await at.state(), (await at.get(SEARCH)).json()
        assert before[0] > 1_000
        assert "incomplete" not in warnings(searched)
        at.upstream.said = LIES[lie]
        await at.time.run_for(HOUR / 2)
        signed = at.account.sign_new().report_id
        await at.time.run_for(HOUR / 2)
        assert await at.state() == before
        assert not await at.is_complete()
        answer = await at.get(SEARCH)
        assert int(answer.headers["age"]) >= HOUR
        assert "incomplete" in warnings(answer.json())
        assert matches(answer.json()) == matches(searched)
        at.upstream.said = {}
        ended = at.time.seconds
        while not await at.is_complete() or not await queued(sqlite_engine, signed):
            await at.time.run_for(1)
        say(
            f"an hour of {lie}: {before[0]} versions and {before[1]} causes as before, all goes on after "
            f"{at.time.seconds - ended:.0f} s"
        )
        assert at.time.seconds - ended <= 120
        versions, causes, _ = await at.state()
        assert causes == before[1] + 1
        assert versions > before[0]


def matches(bundle: dict[str, Any]) -> list[Any]:
    return [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "match"]


def warnings(bundle: dict[str, Any]) -> list[str]:
    """Return the warning codes of a search answer."""
    said = [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "outcome"]
    return [issue["code"] for one in said for issue in one["issue"]]


async def queued(engine: Sqlite, report_id: str) -> bool:
    return bool(await engine.query("SELECT 1 FROM outbox WHERE report_id = ?", [report_id]))


@pytest.mark.parametrize("said", ["nothing", pytest.param(None, marks=pytest.mark.soak)], ids=["empty", "404"])
async def test_reports_that_are_not_listed_though_their_studies_are_stay_as_they_were(said, monkeypatch, sqlite_engine):
    async with stage(monkeypatch, sqlite_engine) as at:
        before = await statuses(sqlite_engine)
        _, causes, _ = await at.state()
        assert len(before) > 100
        at.upstream.said = {"/reports": said}
        for study_id in list(at.account.studies):
            at.account.change_study(study_id, studyDescription="Another description")
        await at.time.run_for(180)
        during = await statuses(sqlite_engine)
        (row,) = await sqlite_engine.query("SELECT count(*) FROM issue WHERE code = 'report-not-visible'", [])
        assert row[0] >= len(before)
        assert (await at.state())[1] == causes
        at.upstream.said = {}
        for study_id in list(at.account.studies):
            at.account.change_study(study_id, studyDescription="Yet another description")
        await at.time.run_for(180)
        assert (await at.state())[1] == causes
        assert during == await statuses(sqlite_engine) == before


async def statuses(engine: Sqlite) -> dict[str, str]:
    """Return the status of every DiagnosticReport."""
    rows = await engine.query(_REPORTS, [])
    return {address: resource_of(*row)["status"] for address, *row in rows}
