"""Shorter polling intervals of the feed, so that fault tests take less time."""

from __future__ import annotations

import pytest

from gateway.feed.deliver import destination_worker, lookahead


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination_worker, "_LOOK", 0.05)
    monkeypatch.setattr(lookahead, "_IDLE", 0.2)
