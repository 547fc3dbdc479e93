import asyncio
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from gateway.runtime.computing import computed, computed_apart, workers
from gateway.runtime.errors import WorkerLost
from gateway.runtime.log import places_of
from mappings.issues import WireError

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Settings:
    """Lasting value."""

    words: str


@dataclass(frozen=True, slots=True)
class Part:
    """Value that another has twice."""

    name: str
    number: int


@dataclass(slots=True)
class Whole:
    """Value whose fields are not all given to it when it is made."""

    parts: tuple[Part, ...]
    count: int = field(init=False, default=0)

    def __post_init__(self):
        self.count += 1


@dataclass(frozen=True, slots=True)
class Checked:
    """Value that says what it was given."""

    given: str
    other: str = ""

    def __post_init__(self):
        object.__setattr__(self, "given", self.given + "!")


def same(value):
    return value


def own_process(*_):
    return os.getpid()


def slow_process():
    time.sleep(0.2)
    return os.getpid()


def refuse(pointer):
    raise WireError(pointer, "a text", "a number")


def end_process(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def end_once(file):
    path = Path(file)
    if not path.exists():
        path.touch()
        end_process()
    return "done"


def end_within_answer(file):
    """Write the beginning of an answer to the service, and end."""
    path = Path(file)
    if path.exists():
        return "done"
    path.touch()
    others = {0, 1, 2, resource_tracker.getfd()}
    for place in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if int(place.name) not in others and str(place.readlink()).startswith(("pipe:", "socket:")):
                os.write(int(place.name), struct.pack("!i", 1_000) + b"half")
    end_process()


def length(settings):
    return len(settings.words)


def both_lengths(one, other):
    return len(one.words) + len(other.words)


def identity(settings):
    return id(settings)


def is_ignored(number):
    return signal.getsignal(number) == signal.SIG_IGN


async def test_without_workers_a_computation_runs_in_a_thread_of_this_process():
    assert await computed(own_process) == os.getpid()


async def test_a_worker_is_another_process_and_all_computations_share_it():
    async with workers(1, (), ()):
        pids = {await computed(own_process) for _ in range(3)}
        assert len(pids) == 1
        assert os.getpid() not in pids
    assert await computed(own_process) == os.getpid()


async def test_a_value_comes_back_from_a_worker_as_it_was_with_what_it_shares():
    one, settings = Part("a", 1), Settings("words")
    given = [Whole((one, one)), Checked("x"), {"one": one}, frozenset([one]), settings, Part]
    given[0].count = 7
    async with workers(1, (), ()):
        found = await computed(same, given)
    assert found == given
    assert found[0].parts[0] is found[0].parts[1] is found[2]["one"]


async def test_with_no_workers_the_threads_of_this_process_compute():
    async with workers(0, (), ()):
        assert await computed(own_process) == os.getpid()


@pytest.mark.parametrize(("processors", "number"), [(2, 1), (64, 2)])
async def test_the_number_of_workers_follows_the_machine_where_the_site_sets_none(processors, number, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    async with workers(None, (), ()):
        pids = set(await asyncio.gather(*(computed(slow_process) for _ in range(8))))
    assert len(pids) == number


async def test_an_error_of_a_worker_keeps_its_fields_and_its_places():
    async with workers(1, (), ()):
        with pytest.raises(WireError) as caught:
            await computed(refuse, "/study")
    assert (caught.value.pointer, caught.value.expected, caught.value.found) == ("/study", "a text", "a number")
    assert str(caught.value) == str(WireError("/study", "a text", "a number"))
    assert places_of(caught.value)[-1].startswith(f"{__name__}:")


async def test_a_lasting_value_stays_in_the_worker():
    one, other = Settings("x" * 5), Settings("y" * 7)
    async with workers(1, (Settings,), ()):
        assert [await computed(length, each) for each in (one, other, one)] == [5, 7, 5]
        assert await computed(identity, one) == await computed(identity, one)
        assert await computed(identity, one) != await computed(identity, other)


async def test_values_past_the_number_that_a_worker_keeps_are_sent_again():
    many = [Settings("x" * size) for size in range(100)]
    async with workers(1, (Settings,), ()):
        for each in (*many, *many):
            assert await computed(length, each) == len(each.words)


async def test_the_work_of_a_worker_that_ended_is_done_by_another(tmp_path):
    async with workers(1, (), ()):
        assert await computed(end_once, str(tmp_path / "ended")) == "done"


async def test_a_worker_that_ends_within_its_answer_is_replaced(tmp_path):
    async with asyncio.timeout(30), workers(1, (), ()):
        assert await computed(end_within_answer, str(tmp_path / "ended")) == "done"


async def test_work_that_ends_every_worker_is_given_up_and_other_work_goes_on():
    async with workers(1, (), ()):
        with pytest.raises(WorkerLost):
            await computed(end_process)
        assert await computed(own_process) != os.getpid()


def large(number):
    time.sleep(0.05)
    return bytes(number)


def own_process_slowly():
    time.sleep(0.3)
    return os.getpid()


async def test_a_worker_that_is_lost_beside_a_busy_one_stops_neither_the_work_nor_the_end():
    async with asyncio.timeout(60):
        async with workers(2, (), ()):
            pids = set(await asyncio.gather(*(computed(own_process_slowly) for _ in range(4))))
            assert len(pids) == 2
            results = [asyncio.create_task(computed(large, 1_000_000)) for _ in range(12)]
            await asyncio.sleep(0.08)
            os.kill(min(pids), signal.SIGKILL)
            assert [len(each) for each in await asyncio.gather(*results)] == [1_000_000] * 12
            os.kill(await computed(own_process), signal.SIGKILL)  # and the end comes before the next computation


async def test_a_computation_that_does_not_end_holds_up_no_stop():
    async with asyncio.timeout(30):
        async with workers(1, (), ()):
            endless = asyncio.create_task(computed(time.sleep, 600))
            await asyncio.sleep(0.5)
            endless.cancel()


async def test_values_that_other_workers_lack_reach_all_of_them():
    one, other = Settings("x" * 5), Settings("y" * 7)
    async with asyncio.timeout(60):
        async with workers(2, (Settings,), ()):
            for _ in range(10):
                assert set(await asyncio.gather(*(computed(both_lengths, one, other) for _ in range(4)))) == {12}
                other = Settings("y" * 7)


async def test_lasting_values_reach_the_worker_that_replaces_one():
    settings = Settings("abc")
    async with workers(1, (Settings,), ()):
        assert await computed(length, settings) == 3
        with pytest.raises(WorkerLost):
            await computed(end_process)
        assert await computed(length, settings) == 3


async def test_computations_of_two_loops_share_the_workers():
    async with workers(1, (Settings,), ()):
        here = await computed(own_process)
        there = await asyncio.to_thread(lambda: asyncio.run(computed(own_process)))
    assert here == there


async def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_service():
    async with workers(1, (), ()):
        assert await computed(is_ignored, signal.SIGINT)
        assert await computed(is_ignored, signal.SIGTERM)


def test_no_worker_outlives_its_service(tmp_path):
    program = """
import asyncio, os, sys, time
sys.path[:0] = ["tests"]
from gateway.runtime.computing import computed, workers
async def main():
    async with workers(2, (), ()):
        print(*{await computed(os.getpid) for _ in range(4)}, flush=True)
        time.sleep(60)
if __name__ == "__main__":
    asyncio.run(main())
"""
    file = tmp_path / "service.py"
    file.write_text(program)
    with subprocess.Popen([sys.executable, file], cwd=ROOT, stdout=subprocess.PIPE, text=True) as service:
        pids = [int(each) for each in service.stdout.readline().split()]
        service.kill()
        service.wait()
    assert pids
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


def priority():
    return os.getpid(), os.getpriority(os.PRIO_PROCESS, 0)


def note(file, seconds):
    with Path(file).open("a") as notes:
        notes.write("begun ")
    time.sleep(seconds)
    with Path(file).open("a") as notes:
        notes.write("done ")


async def test_long_computations_have_a_worker_of_their_own_that_gives_way_to_all_others():
    async with workers(1, (), ()):
        pid, usual = await computed(priority)
        apart, low = await computed_apart(priority)
        assert apart not in {pid, os.getpid()}
        assert low > usual
        assert (await computed_apart(priority))[0] == apart


async def test_a_system_that_refuses_another_priority_costs_no_computation(monkeypatch, tmp_path):
    refusing = "import os\n\ndef nice(_):\n    raise PermissionError\n\nos.nice = nice\n"
    (tmp_path / "sitecustomize.py").write_text(refusing)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with workers(1, (), ()):
        _, usual = await computed(priority)
        assert (await computed_apart(priority))[1] == usual


def is_loaded(module):
    return module in sys.modules


async def test_the_worker_apart_loads_only_what_its_computations_need():
    async with workers(1, (), ("wsgiref.validate",)):
        assert await computed(is_loaded, "wsgiref.validate")
        assert not await computed_apart(is_loaded, "wsgiref.validate")


async def test_no_computation_waits_for_long_ones():
    async with asyncio.timeout(30):
        async with workers(1, (), ()):
            long = [asyncio.create_task(computed_apart(time.sleep, 600)) for _ in range(3)]
            await asyncio.sleep(0.5)
            assert await computed(own_process) != os.getpid()
            assert not any(one.done() for one in long)
            for one in long:
                one.cancel()


async def test_a_long_computation_whose_caller_went_away_never_begins(tmp_path):
    notes = tmp_path / "notes"
    async with workers(1, (), ()):
        first = asyncio.create_task(computed_apart(note, str(notes), 0.5))
        while not notes.exists():
            await asyncio.sleep(0.01)
        dropped = [asyncio.create_task(computed_apart(note, str(notes), 0)) for _ in range(5)]
        last = asyncio.create_task(computed_apart(note, str(notes), 0))
        await asyncio.sleep(0.1)
        for one in (first, *dropped):  # the first runs to its end, and no other beside it
            one.cancel()
        await last
    assert notes.read_text() == "begun done begun done "


async def test_long_computations_of_two_loops_take_turns():
    async with workers(1, (), ()):
        here = computed_apart(own_process_slowly)
        there = asyncio.to_thread(lambda: asyncio.run(computed_apart(own_process_slowly)))
        assert len(set(await asyncio.gather(here, there))) == 1


async def test_a_worker_apart_that_ended_is_replaced():
    async with workers(1, (), ()):
        with pytest.raises(WorkerLost):
            await computed_apart(end_process)
        assert await computed_apart(own_process) != os.getpid()


async def test_without_workers_a_thread_computes_what_takes_long():
    assert await computed_apart(own_process) == os.getpid()
