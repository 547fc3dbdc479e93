"""Decision D48: no acknowledged message of a hospital is lost, doubled or reordered, however often its taker is killed.

HL7 v2.5.1 §2.9.2; https://sqlite.org/atomiccommit.html, https://man7.org/linux/man-pages/man7/signal.7.html
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from fakes.bringing import bringing
from fakes.gateway_process import ROOT, environment, site_file, started
from fakes.hospital_source import ordering
from fakes.ports import free_address
from fakes.scale import EITHER_STORE, ORDER_KILLS
from fakes.store import rows

from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

SENDERS, ORDERS = 4, 5
TABLE = """
[[source]]
name = "city-his"
listen = "127.0.0.1:{port}"
may = ["orders"]
authorities = [
    {{ namespace = "CITY", system = "urn:oid:1.2.1" }}, {{ namespace = "CITYVN", system = "" }},
]
time_zone = "America/Chicago"
"""


class Sender:
    """A hospital's interface: it sends one message after the other, and each again until it is acknowledged."""

    def __init__(self, who: int, address: tuple[str, int]) -> None:
        self._who, self._address = who, address
        self.acknowledged: list[str] = []
        self.is_ending = False

    async def run(self) -> None:
        number = 0
        while not self.is_ending or len(self.acknowledged) < number:
            with suppress(OSError, TimeoutError):
                async with bringing(self._address) as connection:
                    while not self.is_ending or len(self.acknowledged) < number:
                        number = len(self.acknowledged) + 1
                        name = f"{self._who}-{number}"
                        order = f"P{self._who}-{number % ORDERS}"
                        sent = ordering("XO", placer=order, accession=f"A{number}", control_id=name, minute=number)
                        await connection.bring(sent)
                        told = await connection.told(5)
                        if told is None:
                            break
                        assert (told.code, told.control_id) == ("AA", name)
                        self.acknowledged.append(name)


class Nursery:
    """Process that starts the order loops anew."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._child = 0

    def stop(self) -> None:
        """Kill what still runs: nothing may stay behind when a test fails."""
        self._process.kill()
        if self._child:
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)

    async def start(self) -> int:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("start\n")
        self._process.stdin.flush()
        self._child = int(await asyncio.to_thread(self._process.stdout.readline))
        return self._child


@contextmanager
def nursery(config: Path, env: dict[str, str], log: Path):
    command = [sys.executable, "-m", "fakes.order_nursery", str(config)]
    env = env | {"PYTHONPATH": f"{ROOT}/tests:{ROOT}"}
    with log.open("wb") as stderr:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr, "text": True}
        with subprocess.Popen(command, env=env, cwd=ROOT, **pipes) as process:
            made = Nursery(process)
            try:
                yield made
            finally:
                made.stop()


async def listens(address: tuple[str, int]) -> None:
    async with bringing(address):
        pass


async def until_applied(engine) -> None:
    while await rows(engine, "SELECT number FROM inbound WHERE state = 'waiting' LIMIT 1"):
        await asyncio.sleep(0.05)


async def check(engine, senders: list[Sender]) -> int:
    """Each acknowledged message is there once, applied, and in the order in which it was sent."""
    stored = [(str(name), str(state)) for name, state in await rows(engine, _STORED)]
    acknowledged = [name for sender in senders for name in sender.acknowledged]
    assert sorted(name for name, _ in stored) == sorted(acknowledged)
    assert {state for _, state in stored} == {"applied"}
    for who, sender in enumerate(senders):
        assert [name for name, _ in stored if name.startswith(f"{who}-")] == sender.acknowledged
    changes = sum(revision for (revision,) in await rows(engine, "SELECT revision FROM hospital_order"))
    assert changes == len(acknowledged), "a message was applied twice, or not at all"
    return len(acknowledged)


_STORED = "SELECT control_id, state FROM inbound ORDER BY number"


@pytest.fixture(params=EITHER_STORE)
def database(request):
    """URL of a database, and a function that makes an engine for it."""
    if request.param == "sqlite":
        path = request.getfixturevalue("sqlite_database")
        return f"sqlite:///{path}", lambda: Sqlite(path)
    url = request.getfixturevalue("postgres_database")
    return url, lambda: Postgres(url)


@pytest.fixture
def address():
    return free_address()


@pytest.mark.parametrize(("kills", "starts"), ORDER_KILLS.both())
async def test_no_acknowledged_message_is_lost_when_its_taker_is_killed(
    kills, starts, database, address, tmp_path, say
):
    url, engine_of = database
    config = site_file(tmp_path)
    config.write_text(config.read_text() + TABLE.format(port=address[1]))
    env, random, engine = environment("http://127.0.0.1:1", url, config), Random(7), engine_of()
    senders = [Sender(who, address) for who in range(SENDERS)]
    async with asyncio.TaskGroup() as tasks:
        with nursery(config, env, tmp_path / "nursery.log") as process:
            sending = [tasks.create_task(sender.run()) for sender in senders]
            for _ in range(kills):
                child = await process.start()
                await listens(address)
                await asyncio.sleep(random.uniform(0, 0.2))
                os.kill(child, signal.SIGKILL)
        for number in range(starts):
            with started(["serve", "--port", "0", "--roles", "sync"], env, tmp_path / f"{number}.log") as gateway:
                await listens(address)
                await asyncio.sleep(random.uniform(0, 0.5))
                gateway.kill()
        with started(["serve", "--port", "0", "--roles", "sync"], env, tmp_path / "last.log") as gateway:
            await listens(address)
            for sender in senders:
                sender.is_ending = True
            async with engine.opened():
                await asyncio.wait(sending)  # each has its last answer, while somebody is there to give it
                await until_applied(engine)
            assert gateway.said("order-message-failed") == []
            assert await gateway.stop() == 0
    async with engine.opened():
        await until_applied(engine)
        count = await check(engine, senders)
    say(f"{kills + starts} kills, {count} messages acknowledged, none lost")
