"""The bill of materials names each package that is shipped, in the version and with the hashes of the lock."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def command(target: Path) -> list[str]:
    """Return the command of `make sbom`, with another file to write to."""
    (line,) = re.findall(r"^\t(\$\(BIN\)/cyclonedx-py .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return line.replace("$(BIN)", str(ROOT / ".venv/bin")).replace("dist/sbom.cdx.json", str(target)).split()


@pytest.mark.skipif(not (ROOT / ".venv/bin/cyclonedx-py").exists(), reason="needs make install")
def test_it_has_every_package_of_the_lock_with_version_and_hashes_and_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    subprocess.run(command(file), cwd=ROOT, check=True, capture_output=True)
    bom = json.loads(file.read_text())
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == ("CycloneDX", "autoscribe-gateway")
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert {(one["name"], one["version"]) for one in bom["components"]} == set(pinned)
    assert all(reference["hashes"] for one in bom["components"] for reference in one["externalReferences"])
