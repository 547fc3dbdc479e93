"""An operator who waits for a sweep sees how far it is."""

import io

import pytest
from fakes.virtual_clock import START, VirtualClock

from gateway.sync.progress import ProgressBar
from gateway.sync.sweep_record import Finished, Running, SweepRecord


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def record(studies, of=None):
    return SweepRecord(1, Running(START, "c", 1, studies), Finished(START, START, of) if of else None)


def test_on_a_terminal_one_line_is_written_over_and_ended_once(time):
    bar = ProgressBar(stream := Terminal())
    bar(record(100, 1000))
    time.seconds += 2
    bar(record(12_500, 20_000))
    bar(record(7, 0))
    bar.end()
    bar.end()
    lines = stream.getvalue().split("\r")
    assert lines[1] == "sweep [##..................] about 10 %, 100 studies, 0/s"
    assert lines[2] == "sweep [############........] about 62 %, 12,500 studies, 6200/s"
    assert lines[3].rstrip(" \n") == "sweep 7 studies, 0/s"
    assert len(lines[3]) == len(lines[2]) + 1
    assert stream.getvalue().count("\n") == 1


def test_elsewhere_a_line_is_written_every_ten_seconds(time):
    bar = ProgressBar(stream := io.StringIO())
    for studies in range(0, 4000, 100):
        bar(record(studies))
        time.seconds += 0.625
    bar.end()
    assert stream.getvalue().splitlines() == ["sweep 1,600 studies, 160/s", "sweep 3,200 studies, 160/s"]


def test_without_a_page_there_is_nothing_to_end(time):
    bar = ProgressBar(stream := Terminal())
    bar.end()
    assert stream.getvalue() == ""
