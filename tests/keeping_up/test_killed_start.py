"""A start that a signal ends leaves no traceback, whenever the signal comes, and whichever process it reaches."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest
from fakes.gateway_process import environment, site_file

# What a process has loaded when the signal comes: a module of the command line, of the service, of a worker
MOMENTS = ("typer", "gateway.cli.main", "gateway.settings.load", "gateway.app", "gateway.store.database.migrate", "")
# A start whose processes end themselves, or their group, as soon as they load a module
HARNESS = """
import os, runpy, signal, sys
moment, number, whole = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "group"
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(self)
            (os.killpg if whole else os.kill)(os.getpgrp() if whole else os.getpid(), number)
sys.meta_path.insert(0, Watch())
sys.argv[1:] = ["serve", "--port", "0", "--roles", "api", "--insecure"]
runpy.run_module("gateway", run_name="__main__", alter_sys=True)
"""


async def start(folder, *arguments, **more):
    """Begin a start in a process group of its own; return the process."""
    (folder / "harness.py").write_text(HARNESS)
    env = environment("http://127.0.0.1:9", f"sqlite:///{folder / 'gateway.db'}", site_file(folder), **more)
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    return await asyncio.create_subprocess_exec(
        sys.executable, folder / "harness.py", *arguments, env={**os.environ, **env}, start_new_session=True, **pipes
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [one for one in MOMENTS if one])
async def test_a_signal_while_the_service_loads_ends_it_without_a_traceback(tmp_path, moment, number):
    process = await start(tmp_path, moment, str(int(number)), "one")
    async with asyncio.timeout(120):
        printed, _ = await process.communicate()
    assert b"Traceback" not in printed, printed.decode()


@pytest.mark.parametrize("after", [0.0, 0.3])
async def test_a_signal_to_all_processes_while_the_workers_start_ends_them_without_a_traceback(tmp_path, after):
    process = await start(tmp_path, "", "0", "one", GATEWAY_SERVER__WORKERS="2")
    printed = b""
    async with asyncio.timeout(120):
        while b'"serving"' not in printed:
            printed += await process.stdout.readline()
        await asyncio.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        printed += await process.stdout.read()
        assert await process.wait() == 0
    assert b"Traceback" not in printed, printed.decode()
