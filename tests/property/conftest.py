"""Summary of the property tests at the end of a run."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the `losses` that the tests recorded, a list of lines each."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for key, lines in report.user_properties:
            if key == "losses":
                terminalreporter.write_line("\n".join(("", *lines)))
