"""Feed in a separate process that can be killed, stopped and continued: it serves one destination.

https://man7.org/linux/man-pages/man2/fork.2.html. The code is loaded once, by a process that is forked for each.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from fakes.fed import Fed, destination, site

from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.runtime import log
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed import messages
from gateway.store.feed.leases import Lease, Leases, check_lease
from mappings.sections import cut

# The patterns compiled on first use take longer than the life of a process here
cut("EXAM\nFINDINGS: none.\n\nIMPRESSION\nNone.\n\nSigned by A. B.")


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "fakes.feed_process"])
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), before)))
    try:
        forkserver.ensure_running()
    finally:
        os.environ["PYTHONPATH"] = before
    return context


def place_of(engine: Engine) -> str:
    """Return the address of an engine's database for another process."""
    return str(engine.path) if isinstance(engine, Sqlite) else str(engine._url)


class FeedProcess:
    """Process that serves `ehr` at a port; `holder` is its name for the lease, `lease` the seconds of the lease.

    `place` is another address of the engine's database; `freezes`: the process stops itself (SIGSTOP) when it first
    claims a message, in the middle of that transaction; `way` are options of its transport.
    """

    def __init__(
        self,
        engine: Engine,
        port: int,
        log_file: Path,
        *,
        holder: str = "one",
        lease: float = 6.0,
        place: str = "",
        freezes: bool = False,
        **way: Any,
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = (place or place_of(engine), port, str(log_file), holder, lease, freezes, way)
            self._process = _context().Process(target=_serve, args=arguments, daemon=True)
            self._process.start()
        self._log = log_file

    def signal(self, number: int) -> None:
        """Send the process a signal, including SIGSTOP and SIGCONT."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def limit(self, what: int, most: int) -> None:
        """Limit a resource of the process (getrlimit(2)) from now on."""
        assert self._process.pid is not None
        resource.prlimit(self._process.pid, what, (most, resource.RLIM_INFINITY))

    def kill(self) -> None:
        """Kill the process at once."""
        self.signal(signal.SIGKILL)
        self._process.join(30)
        self._process.close()

    @property
    def is_frozen(self) -> bool:
        """True while the process is stopped by a signal (proc_pid_stat(5): state T)."""
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].startswith("T")

    @property
    def memory(self) -> int:
        """Private memory of the process in bytes: without pages of files, which the system can take back."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))) * 1024

    def logged(self) -> str:
        """Everything that the process logged."""
        return self._log.read_text() if self._log.exists() else ""


@contextmanager
def feeding(feed: Fed, log_file: Path, **more: Any) -> Iterator[FeedProcess]:
    """Serve the destination of a fed gateway by a process while the block runs, then kill it."""
    port = more.pop("port", feed.destinations[0].transport.port)  # type: ignore[union-attr]
    process = FeedProcess(feed.engine, port, log_file, **more)
    try:
        yield process
    finally:
        with suppress(ValueError):  # it was killed before
            process.kill()


def _serve(
    place: str,
    port: int,
    log_file: str,
    holder: str,
    lease: float,
    freezes: bool,
    way: dict[str, Any],
) -> None:
    file = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    log.configure("info", "json")
    if freezes:
        messages.step = _freezing(messages.step)
    asyncio.run(_served(place, port, holder, lease, way))


def _freezing(step: Any) -> Any:
    """Return a step that locks the lease, and stops this process before anything else."""

    def frozen(lease: Lease, results: Any, claims: Any, now: int) -> Any:
        yield from check_lease(lease)
        if claims:
            os.kill(os.getpid(), signal.SIGSTOP)
        return (yield from step(lease, results, claims, now))

    return frozen


async def _served(place: str, port: int, holder: str, lease: float, way: dict[str, Any]) -> None:
    engine = Postgres(place, idle=lease) if place.startswith("postgresql") else Sqlite(Path(place))
    async with engine.opened():
        making = DueRenderer(engine, site(), destination(port, **way), Metrics())
        await DestinationWorker(making, Leases(engine, holder, lease), Feed(), Metrics()).run()
