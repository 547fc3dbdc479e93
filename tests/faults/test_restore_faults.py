"""Restore drill of docs/runbooks.md: a database restored from a copy made in mid-traffic (decision D38).

A receiver counts the messages. With the journal nothing is sent twice and new reports are sent. Without it, messages
that may have been sent are held.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.bringing import bringing
from fakes.er7_reader import field
from fakes.feed_site import destination
from fakes.gateway_process import FAST, environment, ran, site_file, started
from fakes.hospital_source import ordering
from fakes.ports import free_address

from gateway.feed.deliver.journal_file import account_of
from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.upstream import SandboxOptions, open_sandbox

STUDIES = 6
SOURCE = """
[[source]]
name = "city-his"
listen = "127.0.0.1:{port}"
may = ["orders"]
authorities = [{{ namespace = "CITY", system = "urn:oid:1.2.1" }}]
time_zone = "America/Chicago"
"""


class SqliteCopies:
    """Copies of a SQLite file."""

    def __init__(self, folder: Path) -> None:
        self._file, self._copy = folder / "gateway.db", folder / "copy.db"
        self.url = f"sqlite:///{self._file}"

    def dump(self) -> None:
        with closing(sqlite3.connect(self._file)) as here, closing(sqlite3.connect(self._copy)) as there:
            here.backup(there)

    def restore(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(f"gateway.db{suffix}").unlink(missing_ok=True)
        shutil.copy(self._copy, self._file)


class PostgresCopies:
    """Copies of a PostgreSQL database, made by its own programs."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self._copy = url, folder / "copy.dump"

    def dump(self) -> None:
        subprocess.run(["pg_dump", "--format=custom", f"--file={self._copy}", self.url], check=True)

    def restore(self) -> None:
        whole = ["pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={self.url}", str(self._copy)]
        subprocess.run(whole, check=True)


@dataclass
class Drill:
    """An account, a receiver that counts, a gateway's environment, and copies of its database."""

    account: SandboxAccount
    receiver: MllpReceiver
    env: dict[str, str]
    folder: Path
    copies: Any
    orders: tuple[str, int]

    @contextmanager
    def serving(self, *more: str) -> Iterator[Any]:
        """Run the gateway as a process while the block runs; kill it at the end."""
        with started(["serve", "--port", "0", *more], self.env, self.folder / "log") as gateway:
            yield gateway

    async def feed(self, *arguments: str) -> tuple[int, str]:
        """Run a feed command; return its exit code and output."""
        code, out, err = await ran(["feed", *arguments], self.env)
        return code, out + err

    @property
    def came(self) -> list[bytes]:
        return [one.payload for one in self.receiver.messages]

    async def until(self, holds: Callable[[], bool], seconds: float = 40) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.05)

    async def begun(self, gateway: Any) -> None:
        """Wait for the first sweep, and send the reports signed before the first start."""
        await gateway.address()
        await self.until(lambda: bool(gateway.said("sweep-ended")))
        code, said = await self.feed("apply", "ehr")
        assert code == 0, said
        await self.until(lambda: len(self.came) > 0)

    async def certified(self) -> None:
        """Wait until nothing is open: messages in hand in the copy may still arrive for as long as a receiver waits."""
        code, lines = 1, ""
        until = clock.monotonic() + 120
        while code and clock.monotonic() < until:
            code, lines = await self.feed("certificate", "ehr")
            assert not code or "old-copy" in lines, lines
            await asyncio.sleep(1)
        assert code == 0, lines

    async def looked_at(self, gateway: Any) -> None:
        """Wait until a sweep that begins after this call has covered the whole account."""
        ended = len(gateway.said("sweep-ended"))
        await self.until(lambda: len(gateway.said("sweep-ended")) >= ended + 2)

    async def quiet(self, gateway: Any) -> None:
        """Wait until no message has come during a full sweep, and for a second after it."""
        seen = -1
        while seen != len(self.came):
            seen = len(self.came)
            await self.looked_at(gateway)
            await asyncio.sleep(1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
def copies(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        return SqliteCopies(tmp_path)
    url = request.getfixturevalue("postgres_database")
    if shutil.which("pg_dump") is None:
        pytest.skip("needs PostgreSQL's client programs")
    return PostgresCopies(url, tmp_path)


@pytest.fixture
async def drill(copies: Any, tmp_path: Path) -> AsyncIterator[Drill]:
    async with opened(copies, tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(copies: Any, folder: Path) -> AsyncIterator[Drill]:
    with listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1], studies=STUDIES)
        sandbox, account = open_sandbox(options)
        account.now = lambda: datetime.now(UTC)  # type: ignore[method-assign]
        async with running(sandbox, listener), MllpReceiver(port=0) as receiver:
            file = site_file(folder)
            orders = free_address()
            tables = destination(receiver.port, mrn_authority='"receiver"', on_conflict='"send"', hold_until_matched=0)
            file.write_text(file.read_text() + tables + SOURCE.format(port=orders[1]))
            # The listing does not show a changed text: reports must be fetched again soon
            soon = {"GATEWAY_SYNC__REPORT_REFETCH_HOURS": "0.0005"}
            env = {**environment(options.base_url, copies.url, file), **FAST, **soon}
            yield Drill(account, receiver, env, folder, copies, orders)


def text(number: int) -> str:
    return f"FINDINGS:\nDrill number {number} of the lungs.\n\nIMPRESSION:\nNothing new in {number}."


def told(drill: Drill, number: int) -> list[bytes]:
    """Return the messages with a text, in order."""
    return [one for one in drill.came if f"Drill number {number} of".encode() in one]


def acknowledged(journal: Path, study_id: str) -> int:
    """Count the acknowledgements in a journal that are of a study."""
    return sum(entry.study_id == study_id and entry.ack == "AA" for entry in account_of(journal).since(0))


async def ordered(drill: Drill, *names: str) -> None:
    """Send orders as a hospital does, and see that each is acknowledged."""
    async with bringing(drill.orders) as sender:
        await sender.bring(*(ordering(placer=f"P{one}", control_id=one) for one in names))
        for one in names:
            told = await sender.told()
            assert told and (told.code, told.control_id) == ("AA", one)


async def test_a_database_put_back_sends_nothing_again_and_then_what_is_new_with_the_journal(drill):
    with drill.serving() as gateway:
        await drill.begun(gateway)
        await ordered(drill, "1", "2")
        copied = datetime.now(UTC).isoformat(timespec="seconds")
        before = [drill.account.sign_new(critical=False) for _ in range(4)]
        for number, one in enumerate(before):
            drill.account.change_text(one.report_id, text(number))
        await drill.until(lambda: all(told(drill, number) for number in range(4)))
        signing = [drill.account.sign_new(critical=False) for _ in range(3)]  # in mid-traffic
        drill.copies.dump()
        for number, one in enumerate(signing, 10):
            drill.account.change_text(one.report_id, text(number))
        await ordered(drill, "3")
        drill.account.change_text(before[0].report_id, text(20))
        drill.account.change_text(before[0].report_id, text(21))
        addendum = drill.account.sign(drill.account.open_addendum(before[1].report_id), text(22))
        await drill.until(lambda: all(told(drill, number) for number in (10, 11, 12, 21, 22)))
        await drill.quiet(gateway)
        journal, study_id = drill.folder / "feed-journal-1.log", before[2].study_id
        seen = acknowledged(journal, study_id)
        drill.account.change_text(before[2].report_id, text(23))
        await drill.until(lambda: acknowledged(journal, study_id) > seen)
        gateway.kill()  # at once
    assert journal.stat().st_mode & 0o777 == 0o600
    while_down = drill.account.sign_new(critical=False)
    drill.account.change_text(while_down.report_id, text(30))
    drill.account.change_text(signing[0].report_id, text(31))
    drill.copies.restore()
    sent = len(drill.came)
    with drill.serving() as gateway:
        await gateway.address()
        await drill.until(lambda: bool(gateway.said("database-restored")))
        await drill.looked_at(gateway)
        await asyncio.sleep(1)
        assert len(drill.came) == sent
        code, said = await drill.feed("resume", "ehr")
        assert code == 1 and "paused as restored" in said
        code, said = await drill.feed("resume", "--restored")
        assert code == 0, said
        (line,) = (one for one in said.splitlines() if one.startswith("source city-his: "))
        assert "2026" < line.partition(" came ")[2].partition(";")[0] <= copied
        await ordered(drill, "1", "2", "3")  # the hospital sends again what the line asks for
        await drill.until(lambda: told(drill, 30) and told(drill, 31))
        await drill.quiet(gateway)
        assert len(drill.came) == sent + 2, drill.came[sent:]
        corrected = told(drill, 31)[-1]
        assert field(corrected, "OBR-25") == "C"
        assert field(corrected, "OBR-3") == field(told(drill, 10)[-1], "OBR-3")
        assert field(told(drill, 30)[-1], "OBR-25") == "F"
        drill.account.change_text(addendum.report_id, text(40))
        await drill.until(lambda: bool(told(drill, 40)))
        assert field(told(drill, 40)[-1], "OBR-25") == "C"
        assert field(told(drill, 40)[-1], "OBR-3") == field(told(drill, 22)[-1], "OBR-3")
        await drill.quiet(gateway)
        await drill.certified()


@pytest.mark.soak
async def test_without_a_journal_what_may_have_been_sent_is_held_and_what_is_signed_then_is_sent(drill):
    with drill.serving() as gateway:
        await drill.begun(gateway)
        await drill.quiet(gateway)
        alone = (found[0] for found in drill.account.reports.values() if len(found) == 1)
        first, second = [one["reportId"] for one in alone if one["status"] == "completed"][:2]
        drill.copies.dump()
        instant = datetime.now(UTC).isoformat()
        signed = drill.account.sign(drill.account.open_addendum(first), text(1))
        await drill.until(lambda: bool(told(drill, 1)))
        await drill.quiet(gateway)
        gateway.kill()
    for one in drill.folder.glob("feed-journal-*"):
        one.unlink()
    drill.copies.restore()
    sent = len(drill.came)
    with drill.serving("--hold-feed", "--restored-from", instant) as gateway:
        await gateway.address()
        assert gateway.said("feed-journal-missing") and gateway.said("feed-held")
        await drill.looked_at(gateway)
        await asyncio.sleep(1)
        code, said = await drill.feed("resume", "ehr", "--yes")
        assert code == 0, said
        drill.account.sign(drill.account.open_addendum(second), text(2))
        await drill.until(lambda: bool(told(drill, 2)))
        await drill.quiet(gateway)
        assert drill.came[sent:] == told(drill, 2)
        code, said = await drill.feed("status")
        assert f"{signed.study_id}  may-have-been-sent" in said
        code, said = await drill.feed("resume", "ehr", "--study", signed.study_id, "--yes")
        assert code == 0, said
        await drill.until(lambda: len(told(drill, 1)) == 2)
