"""Run third-party programs, each once for all messages: one JSON string a line in, one JSON value a line out.

What Maven and npm bring is kept beside other caches, by the digest of what asked for it; nothing is built in the tree.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PARSERS = Path(__file__).parent / "parsers"
# Of a program that runs for seconds, its compilation and its garbage collection in parallel would be the most work
_SHORT = ("-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_CLASSPATH = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"


def java(project: str, source: str, *arguments: str, under: Path = PARSERS) -> list[str]:
    """The command that runs a Java source file with what its project's pom.xml asks for; skips without Maven or JDK."""
    _need("java", "javac", "mvn")
    folder = under / project
    with _cache(project, folder / "pom.xml") as cache:
        kept = cache / "classpath"
        if not kept.is_file() or not all(Path(jar).is_file() for jar in kept.read_text().split(os.pathsep)):
            pom, output = f"--file={folder / 'pom.xml'}", f"-Dmdep.outputFile={kept}"
            _get(["mvn", "--batch-mode", "--quiet", pom, _CLASSPATH, output])
        return ["java", *_SHORT, "-cp", kept.read_text(), str(folder / source), *arguments]


def node(script: str, *arguments: str, under: Path = PARSERS) -> list[str]:
    """The command that runs a script with the packages of package-lock.json; skips without Node.js or npm."""
    _need("node", "npm")
    sources = [under / name for name in ("package.json", "package-lock.json", script)]
    with _cache("npm", *sources) as cache:
        if not (cache / "node_modules" / ".package-lock.json").is_file():
            for source in sources:
                shutil.copy(source, cache)
            _get(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=cache)
        return ["node", str(cache / script), *arguments]


def run(command: Sequence[str], messages: Sequence[str]) -> list[Any]:
    """Return a program's answers to the messages, in order."""
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    cwd = tempfile.gettempdir()  # where a program may leave files
    done = subprocess.run(command, cwd=cwd, input=lines, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(messages), f"{len(answers)} answers to {len(messages)} messages"
    return answers


def _need(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}, not installed here")


@contextmanager
def _cache(name: str, *sources: Path) -> Iterator[Path]:
    """A folder of its own for these sources, for one process at a time."""
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / "autoscribe-gateway-conformance" / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _get(command: Sequence[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs the packages that {command[0]} fetches once, which cannot be had here")
