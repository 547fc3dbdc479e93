"""The offline validator that the conformance tests share."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


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
