"""A sandbox AutoScribe and the gateway, each started as a user does it: a command, a settings file, the environment."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fakes.gateway_process import admitting, environment, site_file

COMMAND = str(Path(sysconfig.get_path("scripts")) / "autoscribe-gateway")
PATIENCE = 180.0  # seconds; 400 studies take 20 on a machine that has nothing else to do


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that has looked at all of its AutoScribe and kept all PDFs; `log` is what it writes to stderr."""

    fhir_base: str
    upstream: str
    log: Path

    @property
    def root(self) -> str:
        return self.fhir_base.removesuffix("/fhir")

    def events(self, level: str) -> list[dict[str, Any]]:
        """The lines of the log at that level."""
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["level"] == level]


@contextmanager
def running(folder: Path, database_url: str, studies: int, port: int = 0, **more: str) -> Iterator[Running]:
    """The gateway over a sandbox of so many studies while the block runs; both must end well when they are told to.

    `more` is what else stands in the environment of the gateway.
    """
    output, log = folder / "sandbox.out", folder / "gateway.err"
    config = site_file(folder)
    outside = environment("", database_url, config, PYTHONUNBUFFERED="1")
    with _started(["sandbox", "--port", "0", "--studies", str(studies)], outside, output, folder / "sandbox.err"):
        upstream = _awaited("the sandbox", lambda: re.search(r"http://[\d.:]+", output.read_text()))[0]
        inside = environment(upstream, database_url, config, **more)
        with _started(["serve", "--port", str(port)], inside, folder / "gateway.out", log):
            base = _awaited("the gateway", lambda: re.search(r'"fhir_base": "([^"]+)"', log.read_text()))[1]
            gateway = Running(base, upstream, log)
            # By the log first: a probe of a gateway that is busy with its crawl may be late, which is an error there
            _awaited("a whole look at AutoScribe", lambda: '"sweep-ended"' in log.read_text())
            _awaited("a complete index", lambda: _is_complete(gateway))
            if more.get("GATEWAY_AUTH__MODE") not in {"builtin", "external"}:  # else nobody may ask without a token
                await_pdfs(gateway)
            yield gateway


def await_pdfs(gateway: Running, **headers: str) -> None:
    """Wait until all PDFs are kept: each makes a new version of its report."""
    _awaited("all PDFs", lambda: _has_all_pdfs(gateway, headers))


@contextmanager
def _started(arguments: list[str], given: Mapping[str, str], output: Path, errors: Path) -> Iterator[None]:
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [COMMAND, *admitting(arguments, given)], env=given, cwd=output.parent, stdout=out, stderr=err
        )
    try:
        yield
        assert process.poll() is None, errors.read_text()[-2000:]
    finally:
        process.terminate()
        code = process.wait(30)
    assert code == 0, errors.read_text()[-2000:]


def _awaited(what: str, look: Callable[[], Any]) -> Any:
    """Call a function until it returns something, and return that."""
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, f"{what}: not there after {PATIENCE:.0f} s"
        time.sleep(0.1)
    return found


def _is_complete(gateway: Running) -> bool:
    return bool(httpx.get(f"{gateway.root}/readyz").json()["index"]["complete"])


def _has_all_pdfs(gateway: Running, headers: Mapping[str, str]) -> bool:
    """True if every PDF of a report has its size and hash; they come shortly after the text (D28)."""
    query = {"_lastUpdated": "ge2000", "_elements": "presentedForm", "_count": "500"}
    entries = httpx.get(f"{gateway.fhir_base}/DiagnosticReport", params=query, headers=dict(headers)).json()["entry"]
    forms = [form for entry in entries for form in entry["resource"].get("presentedForm", ())]
    return all({"size", "hash"} <= form.keys() for form in forms if form["contentType"] == "application/pdf")
