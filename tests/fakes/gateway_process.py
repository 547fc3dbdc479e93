"""Gateway in a separate process, started by its command line, so that it can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from gateway.runtime.command_words import SANDBOX_API_KEY
from gateway.sandbox.people import FACILITIES

ROOT = Path(__file__).parents[2]
SITE_KEY = "5a" * 32
# Shortest intervals that the settings allow: a test cannot wait half a minute
FAST = {
    "GATEWAY_SYNC__OPEN_INTERVAL": "1",
    "GATEWAY_SYNC__CANCELLED_INTERVAL": "1",
    "GATEWAY_SYNC__SWEEP_INTERVAL": "1",
    "GATEWAY_SYNC__PAGES_PER_SECOND": "50",
}


def site_file(folder: Path, **more: str) -> Path:
    """Write a settings file that describes the sandbox's facilities; `more` are further lines of `[mapping]`."""
    lines = ["[mapping]", *(f"{key} = {value}" for key, value in more.items())]
    for facility in FACILITIES:
        if facility.is_known:
            lines += [
                "[[mapping.facilities]]",
                f'name = "{facility.name}"',
                f'time_zone = "{facility.time_zone}"',
                f'name_order = "{facility.name_order}"',
                f'mrn_system = "{facility.mrn_system}"',
                f'mrn_namespace = "{facility.mrn_namespace}"',
            ]
    file = folder / "gateway.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


# Settings of a destination that takes everything; `port` is its receiver's
MLLP_TABLE = """
[[destination]]
name = "ehr"
kind = "mllp"
host = "127.0.0.1"
port = {port}
receiver = "generic"
start = 2020-01-01T00:00:00Z
facilities = ["*"]
"""


def environment(upstream_url: str, database_url: str, config: Path, **more: str) -> dict[str, str]:
    """Build the environment of a gateway without the test's own variables: it never reaches a real AutoScribe."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AVARA_", "GATEWAY_"))}
    own = {
        "AVARA_API_KEY": SANDBOX_API_KEY,
        "AVARA_BASE_URL": upstream_url,
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_MAPPING__SITE_KEY": SITE_KEY,
        "GATEWAY_FEED__STATE_DIR": str(config.parent),
        "GATEWAY_SERVER__WORKERS": "0",  # a worker takes seconds to start beside other tests
    }
    return {**kept, **own, **more}


class Running:
    """A running gateway; its log is in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    def kill(self) -> None:
        """Kill the gateway at once: it can neither log nor write anything more."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    async def stop(self) -> int:
        """Ask the gateway to end, and wait; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, 30)

    @property
    def is_alive(self) -> bool:
        """False if the gateway ended by itself."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Process id of the gateway."""
        return self._process.pid

    def said(self, event: str) -> list[dict[str, Any]]:
        """Log lines of that event; whole lines only, since a killed process may leave a partial one."""
        lines = [line for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one["event"] == event]

    async def address(self) -> str:
        """Wait until the gateway serves, and return its address without a slash at the end."""
        async with asyncio.timeout(60):
            while not (lines := self.said("serving")):
                assert self.is_alive, self.printed()
                await asyncio.sleep(0.05)
        return str(lines[0]["fhir_base"]).removesuffix("/fhir")

    def printed(self) -> str:
        """Everything that the gateway wrote to stderr."""
        return self._log.read_text()


@contextmanager
def started(
    arguments: list[str], env: Mapping[str, str], log: Path, open_files: int | None = None
) -> Iterator[Running]:
    """Run `python -m gateway …` while the block runs; kill it at the end if it still runs.

    With `open_files` it may open so many files and no more.
    """
    with ExitStack() as stack:
        stderr = stack.enter_context(log.open("wb"))
        command = [sys.executable, "-m", "gateway", *admitting(arguments, env)]
        process = subprocess.Popen(command, env=dict(env), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr)
        if open_files:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (open_files, open_files))
        stack.enter_context(process)
        stack.callback(process.kill)
        yield Running(process, log)


def admitting(arguments: list[str], env: Mapping[str, str]) -> list[str]:
    """Add to a `serve` without authentication that it is meant so."""
    is_open = arguments[0] == "serve" and env.get("GATEWAY_AUTH__MODE") == "none"
    return [*arguments, "--insecure"] if is_open else arguments


async def ran(arguments: list[str], env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command that ends by itself; return exit code, stdout and stderr."""
    command = [sys.executable, "-m", "gateway", *admitting(arguments, env)]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=dict(env), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )

    done = await asyncio.to_thread(run)
    return done.returncode, done.stdout, done.stderr
