from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import pytest
from fakes.scripted_server import ScriptedServer

from gateway.runtime import clock
from gateway.settings import Pdf, Upstream
from gateway.upstream import connections
from gateway.upstream.client import REQUESTS, UpstreamClient
from gateway.upstream.retry import Policy

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
async def _connected(
    base_url: str,
    pdf: Pdf | None = None,
    *,
    attempts: int = 3,
    retry_after_cap: float = 60.0,
    requests: int = REQUESTS,
    read_seconds: float = connections.READ_SECONDS,
    **settings: Any,
) -> AsyncIterator[UpstreamClient]:
    upstream = Upstream.model_validate({"api_key": KEY, "base_url": base_url, **settings})
    policy = Policy(attempts, retry_after_cap, jitter=lambda: 0.0)
    with patch.object(connections, "READ_SECONDS", read_seconds):
        client = UpstreamClient(upstream, pdf or Pdf(), policy=policy, requests=requests)
    async with client:
        yield client


@pytest.fixture
def connected(waits: list[float]) -> Callable[..., Any]:
    """Return `async with connected(url, attempts=…) as client`: a client whose waits between tries cost no time."""
    return _connected
