"""Sites with destinations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from fakes.commanded import sites
from fakes.feed_site import FeedSite, destination
from fakes.sandboxed import Running, running

from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.upstream import SandboxOptions

OpenFeed = Callable[..., AbstractAsyncContextManager[FeedSite]]


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[OpenFeed]:
    """Return a function that opens a site with a destination `ehr`, whose receiver answers as told.

    Further keywords become keys of the destination. Its database is SQLite, unless it is parametrized otherwise.
    """
    is_sqlite = getattr(request, "param", "sqlite") == "sqlite"
    with sites(tmp_path, capsys, "" if is_sqlite else request.getfixturevalue("postgres_database")) as opened:

        @asynccontextmanager
        async def with_feed(ack: str = "aa", *, faults: tuple[str, ...] = (), **more: str) -> AsyncIterator[FeedSite]:
            async with opened(*faults) as here, MllpReceiver(port=0, ack=ack) as receiver:
                made = FeedSite(here, receiver)
                made.settings(destination(receiver.port, **more))
                yield made

        yield with_feed


@pytest.fixture
def sandbox() -> Iterator[Callable[..., Running]]:
    """Starts a sandbox with the options given; it stops with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(running(SandboxOptions(**options)))
