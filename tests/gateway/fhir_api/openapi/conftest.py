"""Fixtures: a gateway with a signed report in its index, and its OpenAPI document."""

import pytest
from fakes.facade import facade, resource_id

ROOT = "http://127.0.0.1:8800"


@pytest.fixture
async def stage():
    async with facade() as playing:
        yield playing


@pytest.fixture
async def report(stage):
    """Ingest a signed report."""
    found = stage.signed()
    await stage.get(f"DiagnosticReport/{resource_id(found)}")
    return found


@pytest.fixture
async def document(stage, report):
    response = await stage.client.get(f"{ROOT}/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    return response.json()
