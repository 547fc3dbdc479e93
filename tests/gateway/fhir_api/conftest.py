"""Fixtures of the facade over a sandbox with default switches, and helpers for its errors."""

from types import SimpleNamespace

import pytest
from fakes.facade import facade

from gateway.fhir_api.operations import addendum_operations, idempotency
from gateway.runtime import clock


@pytest.fixture
async def stage():
    async with facade() as playing:
        yield playing


@pytest.fixture
def no_waiting(monkeypatch):
    """Skip all waits; list the durations asked for."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    for module in (addendum_operations, idempotency):
        monkeypatch.setattr(module, "clock", SimpleNamespace(**{**vars(clock), "sleep": sleep}))
    return pauses
