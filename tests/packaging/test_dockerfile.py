"""The steps of the Dockerfile, run without a container engine: the wheel in a bare venv does the demo as nobody."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLED = "/opt/autoscribe-gateway"


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]


def test_every_stage_begins_with_the_same_image_named_by_its_digest() -> None:
    images = [arguments.partition(" ")[0] for name, arguments in instructions() if name == "FROM"]
    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.11-slim@sha256:[0-9a-f]{64}", images[0])


def build_stage() -> list[tuple[str, str]]:
    """Return the instructions between the first FROM and the second."""
    steps = instructions()
    ends = [index for index, (name, _) in enumerate(steps) if name == "FROM"]
    return steps[1 : ends[1]]


def copy(arguments: str, folder: Path) -> None:
    *sources, target = arguments.split()
    for name in sources:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / target)


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """Folder with the contents of /opt after the build stage, readable by everybody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        build = folder / "build"
        build.mkdir()
        for step, arguments in build_stage():
            if step == "COPY":
                copy(arguments, build)
            elif step == "RUN":
                command = arguments.replace(INSTALLED, str(folder / "opt"))
                env = {**os.environ, "PIP_NO_COMPILE": "1"}
                shell = ["sh", "-euc", command]
                result = subprocess.run(shell, cwd=build, env=env, capture_output=True, text=True, check=False)
                if result.returncode and re.search(
                    r"NewConnectionError|Temporary failure in name resolution", result.stderr
                ):
                    pytest.skip("needs a package index, which cannot be reached from here")
                assert result.returncode == 0, result.stderr[-2000:]
        shutil.rmtree(build)
        yield folder / "opt"


def run(image: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    environment = {"PATH": f"{image}/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    command = [*as_nobody, f"{image}/bin/autoscribe-gateway", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def empty_folder(image: Path) -> Iterator[Path]:
    folder = image.parent / "empty"
    folder.mkdir(mode=0o555)
    yield folder
    assert list(folder.iterdir()) == []
    folder.rmdir()


@pytest.mark.timeout(300)
def test_the_image_s_steps_give_a_command_that_does_the_demo_as_nobody_from_an_empty_read_only_folder(
    image: Path, empty_folder: Path
) -> None:
    result = run(image, empty_folder, "demo", "--once", "--port", "0", "--sandbox-port", "0", "--mllp-port", "0")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "all three agree" in result.stdout


@pytest.mark.timeout(300)
def test_the_wheel_holds_the_packages_and_their_data_and_nothing_of_the_checkout(
    image: Path, empty_folder: Path
) -> None:
    site_packages = next((image / "lib").glob("python3*/site-packages"))
    assert (site_packages / "mappings/hl7v2/receivers/generic.toml").is_file()
    assert (site_packages / "gateway/console/templates/layout.html").is_file()
    assert not (site_packages / "tests").exists()
    assert run(image, empty_folder, "version").stdout.strip()


def test_the_image_runs_without_root_and_starts_the_gateway() -> None:
    last_stage = dict(instructions())
    assert last_stage["USER"] == "10001"
    assert last_stage["ENTRYPOINT"] == '["autoscribe-gateway"]'
    assert last_stage["CMD"] == '["serve"]'
