"""The offline validator that the conformance tests share, and what they say at the end of a run."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests recorded as `summary`, a list of lines each."""
    said = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for key, value in report.user_properties
        if key == "summary"
    ]
    for lines in said:
        terminalreporter.write_line("")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def validator(shared: Path) -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node.js and npm for the offline validator")
    script = shared / "conformance" / "fhirval.sh"
    with (Path(tempfile.gettempdir()) / "fhirval.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = subprocess.run(
            ["bash", script, "--uscore", "none", "-"],
            input='{"resourceType":"Basic","code":{"text":"a"}}',
            capture_output=True,
            text=True,
            check=False,
        )
    if first.returncode != 0:
        pytest.skip("needs the npm package fhirpath once, which cannot be installed here")
    return script
