"""The built wheel is all that a new user needs: from a bare machine to a first correct ORU, without the checkout."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fakes.ports import free_port

from gateway.sandbox.people import FACILITIES, SandboxFacility
from mappings.hl7v2.received import Received, read
from mappings.patient.identifiers import long_id

ROOT = Path(__file__).parents[2]
BUILT_FROM = (
    "Makefile",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "NOTICE",
    "requirements.lock",
    "requirements-build.lock",
)
NO_INDEX = r"NewConnectionError|Temporary failure in name resolution|No matching distribution found for pipx"
KNOWN = [one for one in FACILITIES if one.is_known]
KEY = "sandbox-key"
ANSWERS = """
[upstream]
base_url = "http://127.0.0.1:{port}"
api_key = "{key}"

[sync]
sweep_interval = 1

[mapping]
sending_facility = "CITY"
"""
FACILITY = """
[[mapping.facilities]]
name = "{0.name}"
time_zone = "{0.time_zone}"
name_order = "{0.name_order}"
mrn_system = "{0.mrn_system}"
mrn_namespace = "{0.mrn_namespace}"
"""
RECEIVER = """
[[destination]]
name = "{name}"
kind = "mllp"
host = "127.0.0.1"
port = {port}
receiver = "generic"
start = 2026-03-01T00:00:00Z
facilities = {facilities}
dry_run = false
"""


def done(*command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this environment but the settings of pip."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")} | {"PIP_NO_COMPILE": "1"}
    env = {**kept, "PATH": "/usr/bin:/bin", "HOME": str(cwd), "TMPDIR": str(cwd), **more}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False)
    if result.returncode and re.search(NO_INDEX, result.stderr):
        pytest.skip("needs a package index, which cannot be reached from here")
    return result


def built(*command: str, cwd: Path, **more: str) -> str:
    result = done(*command, cwd=cwd, **more)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `make wheel` makes of a copy of the checkout: the wheel and its constraints."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("release")
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source / name)
    for name in ("gateway", "mappings"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    built("make", "wheel", f"PYTHON={sys.executable}", cwd=source)
    for file in (source / "dist").iterdir():
        file.rename(folder / file.name)
    shutil.rmtree(source)
    return folder


@pytest.fixture(scope="module")
def program(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program as pipx installs it, by the pip of a bare environment, with the constraints."""
    bare = tmp_path_factory.mktemp("bare")
    built(sys.executable, "-m", "venv", "tools", cwd=bare)
    built("tools/bin/pip", "install", "pipx", cwd=bare)
    [wheel] = release.glob("*.whl")
    pip = f"--pip-args=-c {release / 'constraints.txt'}"
    said = built("tools/bin/pipx", "run", pip, "--spec", str(wheel), "autoscribe-gateway", "version", cwd=bare)
    assert said.strip() == wheel.name.split("-")[1]
    [program] = [one for one in bare.rglob("bin/autoscribe-gateway") if one.parents[1].joinpath("pyvenv.cfg").exists()]
    return program


@pytest.mark.timeout(300)
def test_the_constraints_pin_what_the_lock_pins(release: Path) -> None:
    pinned = re.compile(r"^[A-Za-z0-9._-]+==[^ ;\\\n]+", re.MULTILINE)
    assert {one.name for one in release.iterdir()} == {"constraints.txt", next(release.glob("*.whl")).name}
    text = (release / "constraints.txt").read_text()
    assert pinned.findall(text) == pinned.findall((ROOT / "requirements.lock").read_text())
    assert "--hash" not in text and "\\" not in text


def until(what: Callable[[], bool], why: str) -> None:
    end = time.monotonic() + 90
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.2)


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class NewUser:
    """Somebody with the program, a folder, and an AutoScribe at this port."""

    program: Path
    folder: Path
    port: int

    @contextmanager
    def running(self, *words: str, listens: int) -> Iterator[None]:
        """Run a command of the program that listens there until the block ends."""
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder)}
        log = self.folder / f"{words[0]}-{listens}.log"
        with (
            log.open("w") as file,
            subprocess.Popen(self.shell(*words), cwd=self.folder, env=env, stdout=file, stderr=file) as one,
        ):
            try:
                until(lambda: answers(listens) or one.poll() is not None, f"{words} does not listen")
                assert one.poll() is None, log.read_text()[-2000:]
                yield
            finally:
                one.terminate()

    def shell(self, *words: str) -> list[str]:
        """Return a command of a shell that has read the environment file, once there is one."""
        line = 'if [ -e environment ]; then set -a; . ./environment; set +a; fi; exec "$@"'
        return ["sh", "-c", line, "sh", str(self.program), *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return done(*self.shell(*words), cwd=self.folder)

    def signed(self, count: int) -> dict[str, dict]:
        """Sign reports in AutoScribe, and return them by id, each with the accession number of its study."""
        made: dict[str, dict] = {}
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30) as client:
            for _ in range(count):
                ids = client.post("/sandbox/sign").raise_for_status().json()
                study = client.get(f"/v1/autoScribe/studies/{ids['studyId']}").json()
                listed = client.get("/v1/autoScribe/reports", params={"studyId": ids["studyId"]}).json()["reports"]
                [report] = [one for one in listed if one["reportId"] == ids["reportId"]]
                made[report["reportId"]] = {**report, "accession": study["metadata"]["accessionNumber"]}
        return made


@pytest.fixture
def user(program: Path, tmp_path: Path) -> Iterator[NewUser]:
    user = NewUser(program, tmp_path, free_port())
    words = ("sandbox", "--port", str(user.port), "--api-key", KEY, "--switch", "accession=metadata")
    with user.running(*words, listens=user.port):
        yield user


def answered(user: NewUser, places: Mapping[str, Sequence[SandboxFacility]], ports: Mapping[str, int]) -> None:
    """Write the answers of a site with these receivers, each with its facilities."""
    text = ANSWERS.format(port=user.port, key=KEY)
    text += "".join(FACILITY.format(one) for several in places.values() for one in several)
    for name, several in places.items():
        names = ", ".join(f'"{one.name}"' for one in several)
        text += RECEIVER.format(name=name, port=ports[name], facilities=f"[{names}]")
    (user.folder / "answers.toml").write_text(text)


def messages(folder: Path) -> dict[str, Received]:
    """Return the messages that a receiver has on disk, by the id of their report."""
    found: dict[str, Received] = {}
    for file in sorted(folder.glob("*.hl7")):
        received = read(file.read_bytes())
        [obr] = [one for one in received.segments if one.name == "OBR"]
        report_id = long_id("rep", received.components(obr.field(21))[0]) or ""
        assert report_id not in found, "one message of a report"
        found[report_id] = received
    return found


def faults(received: Received, report: dict, facility: SandboxFacility) -> list[str]:
    """Return the fields of a message that are not what AutoScribe and the answers say."""
    segments = {one.name: one for one in received.segments}
    pid, obr, snapshot = segments["PID"], segments["OBR"], report["snapshotMetadata"]
    texts = [
        received.delimiters.unescape(one.field(5))
        for one in received.segments
        if one.name == "OBX" and one.field(2) == "TX"
    ]
    right = {
        "MSH-4": segments["MSH"].field(4) == "CITY",
        "PID-3": pid.field(3).split("~")[0] == f"{snapshot['mrn']}^^^{facility.mrn_namespace}^MR",
        "PID-7": pid.field(7) == snapshot["dateOfBirth"].replace("-", ""),
        "OBR-7": obr.field(7)[:8] == snapshot["studyDate"].replace("-", "") and obr.field(7)[-5] in "+-",
        "OBR-18": obr.field(18) == report["accession"],
        "OBR-25": obr.field(25) == "F",
        "OBX-5": " ".join(texts).split() == report["reportPlainText"].split(),
    }
    return [name for name, is_right in right.items() if not is_right]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "places",
    [pytest.param({"ehr": KNOWN[:1]}, marks=pytest.mark.soak), {"city-epic": KNOWN[:2], "mountain": KNOWN[2:3]}],
    ids=["one facility and one receiver", "three facilities and two receivers"],
)
def test_from_the_wheel_and_a_file_of_answers_to_correct_messages(
    user: NewUser, places: dict[str, list[SandboxFacility]]
) -> None:
    ports, served = {name: free_port() for name in places}, free_port()
    answered(user, places, ports)
    with ExitStack() as stack:
        for name, port in ports.items():
            stack.enter_context(user.running("listen", "--port", str(port), "--out", name, listens=port))
        setup = user.run("setup", "--answers", "answers.toml")
        assert setup.returncode == 0, setup.stdout + setup.stderr
        assert len(re.findall(r": AA, no faults found$", setup.stdout, re.MULTILINE)) == len(places)
        assert user.run("sync").returncode == 0
        stack.enter_context(user.running("serve", "--port", str(served), listens=served))
        signed = user.signed(12)
        facility = {key: one["snapshotMetadata"].get("facilityName") for key, one in signed.items()}
        owed = {
            name: {key for key, where in facility.items() if where in {one.name for one in several}}
            for name, several in places.items()
        }
        assert set().union(*owed.values()) and {facility[key] for key in set().union(*owed.values())} == {
            one.name for several in places.values() for one in several
        }
        until(lambda: all(owed[name] <= messages(user.folder / name).keys() for name in places), f"{owed}")
    for name, several in places.items():
        got, by_name = messages(user.folder / name), {one.name: one for one in several}
        assert got.keys() == owed[name]
        wrong = {key: faults(one, signed[key], by_name[facility[key]]) for key, one in got.items()}
        assert not any(wrong.values()), wrong
