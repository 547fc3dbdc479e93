"""Fixture: everything that is logged while a test runs."""

from __future__ import annotations

import logging

import pytest
import structlog


@pytest.fixture
def everything(caplog):
    """Return all log events before redaction, and all log lines of libraries."""
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    caplog.set_level(logging.DEBUG)
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    with structlog.testing.capture_logs() as lines:
        yield lambda: str(lines) + caplog.text
    structlog.configure(wrapper_class=before)
