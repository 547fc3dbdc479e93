"""Event loops for the tests of serving: some processes answer on asyncio's own loop, some on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

SERVING = {"test_acceptor", "test_certificate", "test_http_connection", "test_serving"}


def pytest_asyncio_loop_factories(item: pytest.Function) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Have each test of serving run on both kinds of loop."""
    both = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return both if item.module.__name__.rpartition(".")[2] in SERVING else {"asyncio": both["asyncio"]}
