"""Long work shows its progress to a waiting operator."""

import io

import pytest
from fakes.virtual_clock import VirtualClock
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.progress import Progress, through


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_line_is_renewed_and_ended_once(time):
    with Progress("sync", "studies", stream := Terminal()) as progress:
        progress(100, 20_000)
        time.seconds += 2
        progress(12_500, 20_000, is_guess=True)
        progress(12_501, 20_000)
        time.seconds += 2
        progress(20_000, 20_000)
    lines = stream.getvalue().split("\r")
    assert lines[1] == "sync: about 62 %, 12,500 of about 20,000 studies, 6,200/s, 2 s left"
    assert lines[2].rstrip(" \n") == "sync: 100 %, 20,000 of 20,000 studies, 4,975/s, 1 s left"
    assert len(lines[2]) == len(lines[1]) + 1
    assert (len(lines), stream.getvalue().count("\n")) == (3, 1)


def test_elsewhere_a_line_is_written_every_ten_seconds(time):
    with Progress("rerender", "studies", stream := io.StringIO()) as progress:
        for studies in range(0, 4000, 100):
            progress(studies, 100_000)
            time.seconds += 0.625
    assert stream.getvalue().splitlines() == [
        "rerender: 1 %, 1,600 of 100,000 studies, 160/s, 10 min 16 s left",
        "rerender: 3 %, 3,200 of 100,000 studies, 160/s, 10 min 6 s left",
    ]


def test_what_goes_on_from_the_middle_has_the_speed_of_what_was_done_since(time):
    with Progress("sync", "studies", stream := io.StringIO()) as progress:
        progress(9_000, 10_000)
        time.seconds += 10
        progress(9_010, 10_000)
    assert stream.getvalue() == "sync: 90 %, 9,010 of 10,000 studies, 1.0/s, 16 min 31 s left\n"


@pytest.mark.parametrize("of", [None, 7])
def test_no_percentage_is_made_up_where_the_whole_is_not_known(time, of):
    with Progress("sync", "studies", stream := io.StringIO()) as progress:
        progress(0, of)
        time.seconds += 10
        progress(25, of)
    assert stream.getvalue() == "sync: 25 studies, 2.5/s; total unknown\n"


@pytest.mark.parametrize(("rate", "left"), [(10, "2 h 46 min"), (1, "1 d 3 h"), (0, None)])
def test_the_time_left_is_that_at_the_speed_so_far_and_none_where_nothing_moved(time, rate, left):
    with Progress("replay", "studies", stream := io.StringIO()) as progress:
        progress(0, 100_000)
        time.seconds += 10
        progress(rate * 10, 100_000)
    said = stream.getvalue().strip()
    assert said.endswith(f", {left} left" if left else ", 0.0/s")


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_work_that_ends_at_once_shows_nothing(time, stream):
    with Progress("backload", "studies", written := stream()) as progress:
        progress(0, 3)
        progress(3, 3)
    assert written.getvalue() == ""


def test_studies_that_are_gone_through_are_counted_meanwhile(time, capsys):
    for _ in through("resume", range(2)):
        time.seconds += 10
    assert capsys.readouterr().err == "resume: 50 %, 1 of 2 studies, 0.1/s, 11 s left\n"


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_percentage_is_never_above_what_is_done(done, of):
    clock = VirtualClock()
    with pytest.MonkeyPatch.context() as patched:
        clock.install(patched)
        with Progress("x", "things", stream := io.StringIO()) as progress:
            clock.seconds += 10
            progress(done, of)
    shown = stream.getvalue()
    assert ("%" in shown) is (done <= of)
    if "%" in shown:
        percent = int(shown.partition(": ")[2].partition(" %")[0])
        assert 0 <= percent <= 100 and percent * of <= 100 * done + (of == 0) * 100 and (percent == 100) is (done == of)
