"""All of the sandbox in the index, once for all tests of this folder: they only read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from fakes.crawled import World, crawled


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world() -> AsyncIterator[World]:
    async with crawled() as made:
        yield made
