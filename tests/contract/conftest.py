"""Fixtures of the contract tests beside the engines."""

from __future__ import annotations

from datetime import UTC

import pytest
from fakes.fhir_studies import SITE

from gateway.ingest import Pipeline


@pytest.fixture
def pipeline(engine):
    """Return a pipeline into a fresh store, for a site with one facility."""
    return Pipeline(engine, SITE, UTC)
