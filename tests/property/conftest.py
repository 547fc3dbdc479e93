"""What the property tests say at the end of a run."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests recorded as `losses`, a list of lines each."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for key, lines in report.user_properties:
            if key == "losses":
                terminalreporter.write_line("\n".join(("", *lines)))
