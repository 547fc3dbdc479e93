"""Commands as an operator types them, with a sandbox AutoScribe, its account and a database."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from fakes.gateway_process import environment, site_file
from fakes.store import rows

from gateway.cli import main
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

STUDIES = 24


@dataclass
class Site:
    """Sandbox with its account, and the environment of commands that use it and a database."""

    account: SandboxAccount
    env: dict[str, str]
    folder: Path
    capsys: pytest.CaptureFixture[str]

    async def run(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Run a command in a thread of its own, like a process; return exit code, stdout and stderr."""
        with pytest.MonkeyPatch.context() as patched:
            for name, value in {**self.env, **more}.items():
                patched.setenv(name, value)
            code = await asyncio.to_thread(_exit_code, arguments)
        out, err = self.capsys.readouterr()
        return code, out, err

    @property
    def database(self) -> Path:
        return self.folder / "gateway.db"

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Sqlite | Postgres]:
        """Open the database between two commands."""
        url = self.env["GATEWAY_DATABASE_URL"]
        engine = Postgres(url) if url.startswith("postgresql:") else Sqlite(self.database)
        async with engine.opened():
            yield engine

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.store() as engine:
            return await rows(engine, sql)


def _exit_code(arguments: tuple[str, ...]) -> int:
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    return ended.value.code


Open = Callable[..., AbstractAsyncContextManager[Site]]


@contextmanager
def sites(tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str = "") -> Iterator[Open]:
    """Open a site with a sandbox that has these faults; restore logging afterwards. Without a `url` it has SQLite."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level

    @asynccontextmanager
    async def opened(*faults: str) -> AsyncIterator[Site]:
        with listening_socket("127.0.0.1", 0) as listener:
            options = SandboxOptions(port=listener.getsockname()[1], studies=STUDIES, faults=faults)
            sandbox, account = open_sandbox(options)
            async with running(sandbox, listener):
                database = url or f"sqlite:///{tmp_path / 'gateway.db'}"
                env = environment(options.base_url, database, site_file(tmp_path))
                own = {name: value for name, value in env.items() if os.environ.get(name) != value}
                yield Site(account, own, tmp_path, capsys)

    yield opened
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)
