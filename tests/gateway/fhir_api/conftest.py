"""The facade over a sandbox that behaves by its defaults, and what its errors look like."""

from types import SimpleNamespace

import pytest
from fakes.facade import facade

from gateway.fhir_api.operations import idempotency, operations
from gateway.runtime import clock


@pytest.fixture
async def stage():
    async with facade() as playing:
        yield playing


@pytest.fixture
def no_waiting(monkeypatch):
    """No request waits; the pauses that were asked for are listed."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    for module in (operations, idempotency):
        monkeypatch.setattr(module, "clock", SimpleNamespace(**{**vars(clock), "sleep": sleep}))
    return pauses
