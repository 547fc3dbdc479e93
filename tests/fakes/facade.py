"""Gateway in front of the sandbox: the real upstream client over a socket, the facade called in process."""

from __future__ import annotations

import asyncio
import atexit
import pickle
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from types import MappingProxyType
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import httpx
from fakes.databases import copied, migrated_file
from pydantic import SecretStr

from gateway.app import create_app
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.fault_plan import parse_faults
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.switches import parse_switches
from gateway.sandbox.upstream import SandboxOptions
from gateway.sandbox.upstream import create_app as create_sandbox
from gateway.settings import Configuration, Database, Server, Settings, Upstream
from gateway.upstream import retry
from mappings.patient.identifiers import fhir_id
from mappings.profile import AssigningAuthority, Facility, Site

BASE = "http://127.0.0.1:8800/fhir"
Json = dict[str, Any]


# A read that asks AutoScribe anew
NEW = {"Cache-Control": "no-cache"}


@dataclass
class Counted:
    """ASGI wrapper that records the requests to the sandbox, as `GET /v1/autoScribe/…` without the query."""

    app: Any
    requests: list[str] = field(default_factory=list)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.requests.append(f"{scope['method']} {scope['path'].removeprefix('/v1/autoScribe')}")
        await self.app(scope, receive, send)


@dataclass
class Stage:
    """Client of the facade, the account behind it, and the requests to the sandbox."""

    client: httpx.AsyncClient
    account: SandboxAccount
    sandbox: Any
    requests: list[str]
    app: Any

    def routes_seen(self) -> list[str]:
        """Requests to the sandbox since the last call."""
        seen = list(self.requests)
        self.requests.clear()
        return seen

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(f"{BASE}/{path}", **more)

    async def post(self, path: str, key: str | None = "k1", **more: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.client.post(f"{BASE}/{path}", headers={**headers, **more.pop("headers", {})}, **more)

    async def changed(self, times: int) -> str:
        """Change a report's text so many times, with a read after each; return its address."""
        report = self.signed()
        path = f"DiagnosticReport/{resource_id(report)}"
        await self.get(path)
        for number in range(times):
            self.account.change_text(report["reportId"], f"FINDINGS: {number}.")
            assert (await self.get(path, headers=NEW)).status_code == 200
        return path

    def fail(self, *specs: str) -> None:
        """Set the faults of the sandbox; without arguments, clear them."""
        self.sandbox.state.faults.replace(parse_faults(specs))

    def reports(self, **wanted: Any) -> Iterator[Json]:
        """Yield the account's reports with these values, of studies that AutoScribe reported."""
        for study_id, reports in self.account.reports.items():
            if self.account.studies[study_id].get("studyType") == "external":
                continue
            for report in reports:
                if all(report.get(key) == value for key, value in wanted.items()):
                    yield report

    def signed(self) -> Json:
        """Return a signed original, alone in its study, with a text and an MRN."""
        return next(
            report
            for report in self.reports(status="completed", isAddendum=False)
            if report.get("reportPlainText")
            and report["snapshotMetadata"].get("mrn")
            and len(self.account.reports[report["studyId"]]) == 1
            and self.account.studies[report["studyId"]]["studyReportStatus"] == "completed"
            and not self.account.studies[report["studyId"]]["isCancelled"]
        )


def resource_id(report: Json) -> str:
    return fhir_id(report["reportId"])


def site() -> Site:
    known = [
        Facility(one.name, time_zone=ZoneInfo(one.time_zone), mrn=AssigningAuthority(one.mrn_system, one.mrn_namespace))
        for one in FACILITIES
        if one.is_known
    ]
    return Site(facilities={one.name: one for one in known})


@cache
def _migrated() -> Path:
    """Make a database with this release's schema, once."""
    folder = mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return migrated_file(Path(folder))


@cache
def _seeded(seed: int, studies: int) -> bytes:
    """Make the account of a seed, once, and pickle it: each test gets its own copy to change."""
    return pickle.dumps(generate(seed, studies))


@dataclass
class Sandboxed:
    """Listening sandbox, and gateways in front of it."""

    options: SandboxOptions
    account: SandboxAccount
    sandbox: Any
    requests: list[str]

    @asynccontextmanager
    async def gateway(
        self,
        database: str,
        roles: tuple[str, ...] = ("api",),
        groups: Mapping[str, Any] = MappingProxyType({}),
        attempts: int = 3,
        **upstream: Any,
    ) -> AsyncIterator[Stage]:
        """Open a gateway on the database with that URL, as `facade` does; there may be several."""
        usual = {"api_key": SecretStr(self.options.api_key), "base_url": self.options.base_url}
        settings = Settings.model_construct(
            upstream=Upstream(**{**usual, **upstream}),
            database=Database(url=SecretStr(database)),
            **{"server": Server(), **groups},
        )
        app = create_app(Configuration(settings, site(), "test"), roles)
        transport = httpx.ASGITransport(app)
        at_once = retry.Policy(attempts, retry_after_cap=0, max_backoff=0)
        async with AsyncExitStack() as stack:
            with patch.object(retry, "USUAL", at_once):
                await stack.enter_async_context(app.router.lifespan_context(app))
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
            yield Stage(client, self.account, self.sandbox, self.requests, app)


@asynccontextmanager
async def sandboxed(*switches: str, faults: tuple[str, ...] = ()) -> AsyncIterator[Sandboxed]:
    """Run a listening sandbox with these switches and faults while the block runs."""
    with listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1], studies=150, switches=switches, faults=faults)
        account = SandboxAccount(pickle.loads(_seeded(options.seed, options.studies)), parse_switches(switches))
        sandbox = create_sandbox(account, options)
        counted = Counted(sandbox)
        async with running(counted, listener):
            yield Sandboxed(options, account, sandbox, counted.requests)


@asynccontextmanager
async def facade(
    *switches: str,
    faults: tuple[str, ...] = (),
    roles: tuple[str, ...] = ("api",),
    groups: Mapping[str, Any] = MappingProxyType({}),
    **upstream: Any,
) -> AsyncIterator[Stage]:
    """Open the facade over a sandbox with these switches and faults; `upstream` changes the client.

    `groups` are other groups of settings. Nothing is crawled unless `roles` include it: the index has only what was
    read through.
    """
    with TemporaryDirectory() as folder:
        file = copied(await asyncio.to_thread(_migrated), Path(folder))
        async with (
            sandboxed(*switches, faults=faults) as sandbox,
            sandbox.gateway(f"sqlite:///{file}", roles, groups, **upstream) as stage,
        ):
            yield stage
