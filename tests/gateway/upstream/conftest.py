from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fakes.scripted_server import ScriptedServer

from gateway.runtime import clock
from gateway.settings import Pdf, Upstream
from gateway.upstream.client import UpstreamClient

KEY = "avara-key-CANARY-7731"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as running:
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record every wait between tries, in seconds, without waiting."""
    recorded: list[float] = []

    async def record(seconds: float) -> None:
        recorded.append(seconds)

    monkeypatch.setattr(clock, "sleep", record)
    return recorded


@asynccontextmanager
async def _connected(base_url: str, pdf: Pdf | None = None, **settings: Any) -> AsyncIterator[UpstreamClient]:
    upstream = Upstream.model_validate({"api_key": KEY, "base_url": base_url, **settings})
    async with UpstreamClient(upstream, pdf or Pdf(), jitter=lambda: 0.0) as client:
        yield client


@pytest.fixture
def connected(waits: list[float]) -> Callable[..., Any]:
    """Return `async with connected(url, attempts=…) as client`: a client whose waits between tries cost no time."""
    return _connected
