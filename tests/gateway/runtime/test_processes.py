"""Parts of a service as processes under one parent."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import structlog

from gateway.runtime import log
from gateway.runtime.errors import ConfigError
from gateway.runtime.processes import ServicePart, run_parts


def wait_for_signal(file: str) -> int:
    """Note the process, and wait for SIGTERM."""
    Path(file).write_text(str(os.getpid()), encoding="ascii")
    signal.pause()
    return 0


def end_after(file: str) -> int:
    """End once the other part has noted its process."""
    wait_for(Path(file))
    return 0


def kill_itself_after(file: str) -> int:
    wait_for(Path(file))
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)


def ignore_signals(file: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(file).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(600)
    return 0


def is_running(file: Path) -> bool:
    return Path(f"/proc/{file.read_text(encoding='ascii')}").exists()


@pytest.mark.full
@pytest.mark.parametrize("how", [end_after, kill_itself_after])
async def test_when_one_part_ends_by_itself_the_others_are_ended_and_it_is_an_error(how, tmp_path) -> None:
    file = tmp_path / "waits"
    with structlog.testing.capture_logs() as lines:
        code = await run_parts(
            [ServicePart("waits", wait_for_signal, (str(file),)), ServicePart("ends", how, (str(file),))]
        )
    assert code == 1
    assert not is_running(file)
    assert [(line["event"], line["action"]) for line in lines] == [("process-ended", "ends")]


def refuse() -> int:
    raise ConfigError("settings", "database.url", "not one", "Write another.")


def fail() -> int:
    log.configure("info", "json")
    raise ValueError("Jane Doe")


@pytest.mark.full
@pytest.mark.parametrize(("how", "code"), [(refuse, 2), (fail, 1)])
async def test_a_part_that_fails_says_so_like_a_command_and_shows_no_text_of_strangers(how, code, capfd) -> None:
    assert await run_parts([ServicePart("part", how, ())]) == code
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err + printed.out
    assert "Jane" not in printed.err + printed.out
    assert ("Write another." in printed.err) is (how is refuse)


async def test_the_parent_closes_its_ends_of_what_it_hands_over(tmp_path) -> None:
    here, there = multiprocessing.Pipe(duplex=False)
    assert await run_parts([ServicePart("sends", send_and_end, (there,))], (there,)) == 1
    assert here.recv() == "sent"
    with pytest.raises(EOFError):
        here.recv()


def send_and_end(connection) -> int:
    connection.send("sent")
    return 0


@pytest.mark.full
async def test_a_signal_ends_all_parts_and_is_no_error(tmp_path) -> None:
    files = [tmp_path / "one", tmp_path / "other"]
    running = asyncio.create_task(run_parts([ServicePart(f.name, wait_for_signal, (str(f),)) for f in files]))
    while not all(file.exists() for file in files):
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert not any(map(is_running, files))


async def test_a_part_that_does_not_end_is_killed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.runtime.processes._GRACE", 0.2)
    file = tmp_path / "stubborn"
    running = asyncio.create_task(run_parts([ServicePart("stubborn", ignore_signals, (str(file),))]))
    while not file.exists():
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert not is_running(file)
