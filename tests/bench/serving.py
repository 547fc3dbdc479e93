"""Run the gateway and the baseline route, each as a process on the measured core."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bench.core_share import CoreShare
from bench.machine import MEASURED, on_core
from fakes.gateway_process import environment, site_file, started

NOBODY = "http://127.0.0.1:9"  # AutoScribe, which is not asked


@contextmanager
def gateway(
    database_url: str,
    folder: Path,
    *,
    roles: str = "api",
    upstream: str = NOBODY,
    config: Path | None = None,
    is_pinned: bool = True,
    share: CoreShare | None = None,
    **more: str,
) -> Iterator[str]:
    """Run a gateway with these roles on this database, with its workers; yield its FHIR base.

    `more` adds environment variables. Unless it `is_pinned` to the measured core, it uses every core. With a `share`,
    all its processes are in that group.
    """
    more = {"GATEWAY_SYNC__MAX_INDEX_AGE": "86400", "GATEWAY_SERVER__WORKERS": "1", **more}
    env = environment(upstream, database_url, config or site_file(folder), **more)
    with on_core(MEASURED) if is_pinned else nullcontext():
        process = started(["serve", "--roles", roles, "--port", "0"], env, folder / "gateway.runtime.log")
        running = process.__enter__()
    try:
        if share is not None:
            share.take(running.process_id)
        until = time.monotonic() + 60
        while not (said := running.said("serving")):
            assert running.is_alive and time.monotonic() < until, running.printed()
            time.sleep(0.05)
        yield said[0]["fhir_base"]
    finally:
        process.__exit__(None, None, None)


@contextmanager
def autoscribe(studies: int, latency: int, core: int | None = None) -> Iterator[str]:
    """Run AutoScribe's stand-in, on one core if it is named; yield its URL. `latency` is in milliseconds."""
    script = Path(__file__).with_name("fast_upstream.py")
    command = [sys.executable, str(script), str(studies), str(latency)]
    env = {**os.environ, "PYTHONPATH": str(script.parents[1])}
    with nullcontext() if core is None else on_core(core):
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def constant_route(size: int) -> Iterator[str]:
    """Run a bare application that answers so many bytes; yield its address."""
    script = Path(__file__).with_name("constant_route.py")
    with on_core(MEASURED):
        process = subprocess.Popen([sys.executable, str(script), str(size)], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.terminate()
