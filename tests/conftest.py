"""Fixtures for all tests, and the one rule about skips: under CI no test may skip because a component is missing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import certifi
import pytest
import pytest_asyncio
import structlog
import typer.main
import uvicorn.server
from hypothesis import settings
from xdist.workermanage import WorkerController

pytest.register_assert_rewrite("fakes")  # assertions in fakes also show the compared values

from fakes.crawled import World, crawled  # noqa: E402
from fakes.databases import Engines, Server, copied, filled, is_new, migrated_file, server  # noqa: E402

from gateway.ingest import assembly  # noqa: E402
from gateway.ingest.plan_ingest import LASTING  # noqa: E402
from gateway.runtime import computing  # noqa: E402
from gateway.store.database import kept  # noqa: E402
from gateway.store.database.postgres import Postgres  # noqa: E402
from gateway.store.database.sqlite import Sqlite  # noqa: E402

ROOT = Path(__file__).parents[1]
QUICK = "not soak and not full"  # as `make test` asks
MEMORY, ENOUGH = Path("/dev/shm"), 4 << 30

# No test fails because the machine is busy
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Folders and files about what the databases do differently. Of the others, which prove laws of what both share,
# `make test-all` runs the first of each four on PostgreSQL; `make soak` runs the rest
EACH_DATABASE = frozenset(
    {
        *("keeping_up", "phi", "property", "upgrade"),
        *("test_any_study.py", "test_engines.py", "test_leases.py", "test_messages.py", "test_migrations.py"),
        *("test_pipeline_races.py", "test_plans.py", "test_process_faults.py", "test_random_merges.py"),
        *("test_search.py", "test_shared_commits.py", "test_sorting.py", "test_takeover.py", "test_takeover_faults.py"),
        *("test_timing_faults.py", "test_trouble.py"),
    }
)
# Folders and files whose tests start processes, wait, or try many examples: only `make test-all` runs them
LONG = frozenset(
    {
        *("cli", "demo", "faults", "identity", "keeping_up", "operator", "packaging", "phi", "search", "simulation"),
        *("test_app.py", "test_computing.py", "test_killed.py", "test_walks.py", "upgrade", "us_core"),
    }
)


def pytest_configure() -> None:
    """Keep what tests write in memory, unless TMPDIR says where: they make thousands of databases, slowly on a disk."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ENOUGH:
        return
    if not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Collect tests without garbage collection, which takes a quarter of that time and finds nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the long folders and files unread where `make test` would only deselect them."""
    return True if config.option.markexpr == QUICK and LONG.intersection(_places(collection_path)) else None


def _places(path: Path) -> tuple[str, ...]:
    """Return the parts of a path below the folder of the tests."""
    tests = ROOT / "tests"
    return path.relative_to(tests).parts if path.is_relative_to(tests) else ()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-all`, and what that leaves to `make soak`."""
    of_module = Counter[Path]()
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {}).values()
        is_on_postgresql = "postgresql" in params or "postgres_server" in getattr(item, "fixturenames", ())
        if is_on_postgresql or LONG.intersection(_places(item.path)):
            item.add_marker(pytest.mark.full)
        if "postgresql" in params and not EACH_DATABASE.intersection(_places(item.path)):
            if of_module[item.path] % 4:
                item.add_marker(pytest.mark.soak)
            of_module[item.path] += 1


def pytest_collection_finish() -> None:
    """Take what is there by now out of garbage collection, which is a twelfth of the time of a whole run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Run one worker more than there are processors: many tests wait. None: as the environment says."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: WorkerController, ids: Sequence[str]) -> None:
    """Say how many tests there are, which no worker can print."""
    if node.gateway.id == "gw0":
        node.config.get_terminal_writer().line(f"{len(ids):,} tests")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped"):
        session.exitstatus = 1


@pytest.fixture(scope="session", autouse=True)
def usual_level() -> None:
    """Log from level info, as a service does, unless a test changes it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))


@pytest.fixture(scope="session", autouse=True)
def quick_servers_and_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make servers of this process stop at once, and its clients read one root certificate instead of 140.

    uvicorn checks every 0.1 s if it must stop, and waits as long for its connections: here every 5 ms. Rows are
    compressed less.
    """
    roots = tmp_path_factory.mktemp("roots") / "one.pem"
    end = "-----END CERTIFICATE-----\n"
    roots.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end, encoding="utf-8")
    waits = SimpleNamespace(**{**vars(asyncio), "sleep": lambda seconds: asyncio.sleep(min(seconds, 0.005))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_LEVEL", 1)
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setattr(certifi, "where", lambda: str(roots))
        patch.setattr(ssl.SSLContext, "load_default_certs", lambda self, _=None: self.load_verify_locations(roots))
        patch.setattr(uvicorn.server, "asyncio", waits)
        yield


@pytest.fixture(scope="session", autouse=True)
def computations_travel() -> Iterator[None]:
    """Pack and unpack the arguments and the result of every computation, as for a worker process."""
    packer = computing.Packer(LASTING)

    def called(function: Callable[..., object], given: Sequence[object]) -> object:
        parcel = packer.parcel((function, given))
        computing.keep(packer.lasting(computing.missing(parcel.tokens)))
        arrived, arguments = computing.unpacked(parcel.packed)
        return computing.unpacked(computing.packed(arrived(*arguments)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(computing, "_called", called)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_commands(migrated_sqlite: Path) -> Iterator[None]:
    """Read the table of commands once, and fill new SQLite databases from one that was migrated.

    Commands of this process would spend 40 ms each on the table, and those that make a database 120 ms on migrating it.
    """
    as_released = assembly._migrated

    async def migrate(engine: Sqlite | Postgres) -> None:
        if isinstance(engine, Sqlite) and is_new(engine.path):
            filled(engine.path, migrated_sqlite)
        await as_released(engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "_migrated", migrate)
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference material beside the project; tests that need it skip without it."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("needs the reference material in ../shared, which is not here")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Start a PostgreSQL server for this run; tests that need it skip if PostgreSQL is not installed."""
    with server() as found:
        if found is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        yield found


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_file(tmp_path_factory.mktemp("store"))


@pytest.fixture
def postgres_database(postgres_server: Server) -> Iterator[str]:
    """Yield the URL of a fresh migrated PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """Copy a fresh migrated SQLite database."""
    return copied(migrated_sqlite, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def engines(request: pytest.FixtureRequest) -> Engines:
    """Return a factory of unopened engines on one fresh migrated database; for SQLite and for PostgreSQL."""
    if request.param == "sqlite":
        return partial(Sqlite, request.getfixturevalue("sqlite_database"))
    return partial(Postgres, request.getfixturevalue("postgres_database"))


@pytest.fixture
async def engine(engines: Engines) -> AsyncIterator[Sqlite | Postgres]:
    """Yield an open engine on a fresh migrated database; for SQLite and for PostgreSQL."""
    made = engines()
    async with made.opened():
        yield made


@pytest.fixture
async def sqlite_engine(sqlite_database: Path) -> AsyncIterator[Sqlite]:
    """Yield an open engine on a fresh migrated SQLite database."""
    made = Sqlite(sqlite_database)
    async with made.opened():
        yield made


@pytest.fixture
async def postgres_engine(postgres_database: str) -> AsyncIterator[Postgres]:
    """Yield an open engine on a fresh migrated PostgreSQL database."""
    made = Postgres(postgres_database)
    async with made.opened():
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world() -> AsyncIterator[World]:
    """Crawl the whole sandbox into the index, once for all tests that only read."""
    async with crawled() as made:
        yield made


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return a function that prints a line of figures past the capture of output."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def written(line: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\n{line}\n")

    return written


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; review the diff")
