"""Attacks from outside while a feed goes on: feed, probes and other clients stay as they were (decision D40).

https://cheatsheetseries.owasp.org/cheatsheets/Denial_of_Service_Cheat_Sheet.html. Gateway, receiver and attackers are
processes of their own. The gateway may open 1,024 files, as under many service managers.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from bench.queued import fill, left
from fakes import attackers
from fakes.gateway_process import MLLP_TABLE, Running, environment, site_file, started
from fakes.in_force import always_in_force
from fakes.pdfs import Library

from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings import load
from gateway.store.database.sqlite import Sqlite

SECONDS = 3.0
ROUNDS = 3
LONGEST = 5.0  # seconds for an answer
QUEUED = 6_000
ACK_AFTER = 5  # milliseconds: more than a hundred messages a second, one after the other
OPEN_FILES = 1_024
MOST_RATIO = 2.0
LEAST_FEED = 0.7
MOST_LINES_A_MINUTE = 100
NOISE = 0.001  # seconds: a read takes as long, and the machine has other work
READ = f"/fhir/DiagnosticReport/rep-{'3' * 32}"


@dataclass
class Served:
    """A gateway that feeds a receiver, and its database."""

    gateway: Running
    port: int
    engine: Sqlite
    log: Path

    async def acknowledged(self) -> int:
        return QUEUED - await left(self.engine)

    def lines(self) -> int:
        return len(self.log.read_text().splitlines())

    async def feed_rate(self, seconds: float) -> float:
        """Return the messages a second that are acknowledged meanwhile."""
        begun, before = clock.monotonic(), await self.acknowledged()
        await asyncio.sleep(seconds)
        return (await self.acknowledged() - before) / (clock.monotonic() - begun)

    async def wait(self, path: str, seconds: float) -> float:
        """Return the median seconds of an answer, each on a connection of its own."""
        taken: list[float] = []
        end = clock.monotonic() + seconds
        while clock.monotonic() < end:
            begun = clock.monotonic()
            assert await self.status(path) == 200
            taken.append(clock.monotonic() - begun)
            await asyncio.sleep(0.01)
        return median(taken)

    async def status(self, path: str) -> int:
        async with asyncio.timeout(LONGEST):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
        return int(answer.split(b" ", 2)[1])

    async def figures(self) -> tuple[float, float, float]:
        """Return the rate of the feed, and the median waits for a probe and for a read."""
        return tuple(  # type: ignore[return-value]
            await asyncio.gather(self.feed_rate(SECONDS), self.wait("/livez", SECONDS), self.wait(READ, SECONDS))
        )


@contextmanager
def beside(script: Path, *arguments: str) -> Iterator[str]:
    """Run a script while the block runs; yield the first line that it prints."""
    command = [sys.executable, str(script), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@asynccontextmanager
async def served(engine: Sqlite, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    with beside(Path(__file__).parents[1] / "bench" / "ack_server.py", str(ACK_AFTER)) as port:
        config = site_file(folder)
        config.write_text(config.read_text() + MLLP_TABLE.format(port=port))
        own = {"GATEWAY_SERVER__WORKERS": "1", "GATEWAY_PDF__INGEST": "link"}
        env = environment("http://127.0.0.1:9", f"sqlite:///{engine.path}", config, **own)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        await always_in_force(engine, routes_of(load(None)).destinations)
        await Library(engine).report()
        await fill(engine, QUEUED)
        with started(["serve", "--roles", "api,feed", "--port", "0"], env, folder / "log", OPEN_FILES) as gateway:
            at = int((await gateway.address()).rpartition(":")[2])
            here = Served(gateway, at, engine, folder / "log")
            async with asyncio.timeout(60):
                while await here.acknowledged() < 50:
                    assert gateway.is_alive, gateway.printed()
                    await asyncio.sleep(0.05)
            yield here


@pytest.mark.soak
@pytest.mark.parametrize("kind", attackers.KINDS)
async def test_no_attack_slows_the_feed_the_probes_or_other_clients(kind, sqlite_engine, tmp_path, monkeypatch, say):
    """The machine has other work, so that one of three rounds counts: harm by the attack is there in each."""
    async with served(sqlite_engine, tmp_path, monkeypatch) as here:
        for _ in range(ROUNDS):
            harm = await attacked(here, kind, say)
            if not harm:
                break
        assert harm == []


async def attacked(here, kind, say):
    """Attack for a while, and return what was harmed."""
    feed, probe, read = await here.figures()
    said = here.lines()
    with beside(Path(attackers.__file__), kind, str(here.port)) as begun:
        assert begun == "begun"
        feed_then, probe_then, read_then = await here.figures()
    lines = here.lines() - said
    assert here.gateway.is_alive
    say(
        f"{kind}: feed {feed:.0f} then {feed_then:.0f} messages/s; probe {probe * 1e3:.1f} then"
        f" {probe_then * 1e3:.1f} ms; read {read * 1e3:.1f} then {read_then * 1e3:.1f} ms; {lines} lines of the log"
    )
    harms = {
        "feed": feed_then < LEAST_FEED * feed,
        "probe": probe_then > MOST_RATIO * probe + NOISE,
        "read": read_then > MOST_RATIO * read + NOISE,
        "log": lines > MOST_LINES_A_MINUTE,
    }
    return [what for what, is_harmed in harms.items() if is_harmed]
