"""Site with destinations: the feed's commands as typed, and workers for the destinations meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes.commanded import Site
from fakes.gateway_process import site_file
from fakes.in_force import always_in_force
from fakes.store import rows

from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.feed.deliver.feed_journal import UNKEPT, FeedJournal
from gateway.ingest import assembly
from gateway.routing import routes_of
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import Metrics
from gateway.sandbox.receiver import MllpReceiver
from gateway.settings import Configuration, load
from gateway.settings.feed import Feed
from gateway.store.feed.leases import Leases

START = "2020-01-01T00:00:00Z"
_PENDING = (
    "SELECT (SELECT count(*) FROM outbox WHERE state = 'waiting' AND due < 4000000000000000),"
    " (SELECT count(*) FROM message WHERE state IN ('queued', 'sending') OR (state = 'indeterminate' AND due < 1e16))"
)


def destination(port: int, name: str = "ehr", *, start: str = START, **more: str) -> str:
    """Write a `[[destination]]` table; values in `more` are written verbatim."""
    usual = {
        "name": f'"{name}"',
        "kind": '"mllp"',
        "host": '"127.0.0.1"',
        "port": str(port),
        "receiver": '"generic"',
        "start": start,
        "facilities": '["*"]',
        "retry": "1",
    }
    return "\n".join(["[[destination]]", *(f"{key} = {value}" for key, value in {**usual, **more}.items())]) + "\n"


@dataclass
class FeedSite:
    """A site, the receiver of its first destination, and the commands `feed …`."""

    here: Site
    receiver: MllpReceiver

    async def feed(self, *arguments: str) -> tuple[int, list[str], str]:
        """Run a command of the feed; return exit code, lines of stdout, and stderr."""
        code, out, err = await self.here.run("feed", *arguments)
        return code, out.splitlines(), err

    def settings(self, *tables: str) -> None:
        """Append these tables to the settings of the site."""
        file = site_file(self.here.folder)
        file.write_text(file.read_text() + "\n".join(tables))

    async def sync(self) -> None:
        """Ingest everything in AutoScribe; the settings of its destinations are in force as if they always had been."""
        await self.in_force()
        code, _, err = await self.here.run("sync")
        assert code == 0, err

    async def served(self, seconds: float = 60) -> None:
        """Serve the destinations until nothing is left to compose or send."""
        async with self.serving(), asyncio.timeout(seconds), self.here.store() as engine:
            while [tuple(one) for one in await rows(engine, _PENDING)] != [(0, 0)]:
                await asyncio.sleep(0.05)

    async def planned(self, seconds: float = 60) -> None:
        """Serve the destinations until the plan of their settings is made."""
        newest = "SELECT planned FROM in_force ORDER BY number DESC LIMIT 1"
        known = len(await self.query("SELECT number FROM in_force"))
        async with self.serving(), asyncio.timeout(seconds), self.here.store() as engine:
            while len(await rows(engine, "SELECT number FROM in_force")) == known:
                await asyncio.sleep(0.05)
            while (await rows(engine, newest))[0][0] is None:
                await asyncio.sleep(0.05)

    def configuration(self) -> Configuration:
        """Settings of the site."""
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.here.env.items():
                patched.setenv(name, value)
            return load(None)

    async def in_force(self) -> None:
        """Put the settings in force as if they always had been."""
        routes = routes_of(self.configuration())
        async with self.here.store() as engine:
            await assembly._migrated(engine)
            await always_in_force(engine, routes.destinations, routes.ignores)

    @asynccontextmanager
    async def serving(self, *, journal: bool = False) -> AsyncIterator[None]:
        """Serve the destinations while the block runs, with a journal if wanted."""
        configuration = self.configuration()
        routes = routes_of(configuration)
        async with self.here.store() as engine:
            leases = Leases(engine, "one", 6)
            enabled = [one for one in routes.destinations if one.is_enabled]
            makings = [DueRenderer(engine, configuration.site, one, Metrics()) for one in enabled]
            kept = FeedJournal(
                engine, self.folder, [one.name for one in enabled], configuration.site.site_key, Metrics()
            )
            notes = kept if journal else UNKEPT
            holders = [
                DestinationWorker(one, leases, Feed(), Metrics(), ignores=routes.ignores, journal=notes)
                for one in makings
            ]
            async with alongside(one.run() for one in holders):
                yield
            await kept.close()

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return await self.here.query(sql)

    @property
    def folder(self) -> Path:
        """Folder of the site's files."""
        return self.here.folder
