"""Every committed file may be published: no path of a machine, registry address, key, or waived license."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REGISTRIES = r"https?://(?:files\.pythonhosted|pypi|registry\.npmjs|repo1?\.maven)\."
FORBIDDEN = re.compile(rf"/home/\w+/|/root/|{REGISTRIES}|BEGIN [A-Z ]*PRIVATE KEY")


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout: the list of published files is not known")
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


def test_no_tracked_file_holds_a_machine_path_a_registry_address_or_a_private_key() -> None:
    this = Path(__file__)
    hits = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path.is_file() and path != this
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert hits == []


def test_the_lock_files_hash_everything() -> None:
    for name, least in {"requirements.lock": 40, "requirements-build.lock": 2, "requirements-dev.lock": 80}.items():
        pins = re.findall(r"^[a-zA-Z0-9][^ ]*==[^\\]*\\\n    --hash=sha256:", (ROOT / name).read_text(), re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-zA-Z0-9].*==", (ROOT / name).read_text(), re.MULTILINE)) >= least


def test_a_release_ships_nothing_that_is_only_for_building() -> None:
    build = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-build.lock").read_text(), re.MULTILINE)
    shipped = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert {"hatchling", "editables"} <= set(build)
    assert not {"hatchling", "editables", "trove-classifiers", "pathspec", "pluggy"} & set(shipped)
