"""Whole gateway in virtual time: its real parts over sockets, threads and a file, which the clock waits for.

Time passes only when no request, thread or query is under way (`VirtualClock.busy`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from fakes.fed import site
from fakes.virtual_clock import VirtualClock
from pydantic import SecretStr

from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.upstream import SandboxOptions, create_app
from gateway.settings import Configuration, Database, Pdf, Server, Settings, Sync, Upstream
from gateway.store.database.sqlite import Sqlite
from gateway.upstream.client import UpstreamClient


class Account(SandboxAccount):
    """Sandbox account in virtual time."""

    def __init__(self, studies: int) -> None:
        super().__init__(generate(studies=studies))

    def now(self) -> datetime:
        return clock.now()


class UnderWay:
    """Counter of the work under way outside the loop."""

    def __init__(self, monkeypatch: Any) -> None:
        self.count = 0
        counted = (asyncio.BaseEventLoop, "run_in_executor"), (Sqlite, "do"), (UpstreamClient, "_exchange")
        for owner, name in counted:
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, work: Any) -> Any:
        async def counted(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            try:
                return await work(*arguments, **more)
            finally:
                self.count -= 1

        return counted


class Slow:
    """ASGI wrapper: every request waits this many virtual seconds and does not count as under way meanwhile."""

    def __init__(self, app: Any, under_way: UnderWay, seconds: float) -> None:
        self._app, self._under_way, self._seconds = app, under_way, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and self._seconds:
            self._under_way.count -= 1
            await clock.sleep(self._seconds)
            self._under_way.count += 1
        await self._app(scope, receive, send)


def installed(monkeypatch: Any) -> tuple[VirtualClock, UnderWay]:
    """Install a virtual clock that waits for the work under way."""
    time, under_way = VirtualClock().install(monkeypatch), UnderWay(monkeypatch)
    time.busy = lambda: under_way.count > 0
    return time, under_way


@asynccontextmanager
async def configured(
    account: SandboxAccount, database: str, wrap: Callable[[Any], Any], **sync: float
) -> AsyncIterator[Configuration]:
    """Yield the settings of a gateway on that account, served on a socket behind `wrap`."""
    with listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1])
        async with running(wrap(create_app(account, options)), listener):
            settings = Settings.model_construct(
                upstream=Upstream(api_key=SecretStr(options.api_key), base_url=options.base_url),
                server=Server(),
                pdf=Pdf(ingest="link"),
                database=Database(url=SecretStr(database)),
                sync=Sync(**sync),
            )
            yield Configuration(settings, site(), "test")
