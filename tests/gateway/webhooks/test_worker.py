"""A recorded webhook is processed until its report is listed; none stops the others, and none is lost."""

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
import structlog
from fakes.inbox import NOW, REPORT, STUDY, Clock, Memory, sample

from gateway.runtime.errors import UpstreamFailed, UpstreamKeyRefused, UpstreamNotFound, UpstreamThrottled
from gateway.runtime.metrics import Metrics
from gateway.webhooks.worker import OUTAGE_WAIT, WAITS, WebhookWork, WorkPace

QUICK = WorkPace(slots=3, poll=0.01)
OTHER = f"stu_{'9' * 32}"


class Studies:
    """Ingest that records its calls; a study has reports, or an exception to raise."""

    def __init__(self, **known):
        self.known = {STUDY: {REPORT}, **known}
        self.asked = []
        self.at_work = self.most_at_work = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, study_id):
        self.asked.append(study_id)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            known = self.known.get(study_id, set())
            if isinstance(known, BaseException):
                raise known
            return known
        finally:
            self.at_work -= 1


class Bench:
    """Worker over stores in memory, with a clock that is set by hand."""

    def __init__(self, pace=QUICK, **known):
        self.memory, self.studies, self.metrics, self.clock = Memory(), Studies(**known), Metrics(), Clock()
        self.work = WebhookWork(self.memory, self.studies, self.metrics, pace, self.clock)

    async def told(self, webhook_id="msg_1", study_id=STUDY, report_id=REPORT):
        kept = {"reportId": report_id, "studyId": study_id}
        assert await self.memory.record(webhook_id, f"whe_{webhook_id}", "report.delivered", kept, self.clock())
        self.work.wake()

    def states(self):
        return [(row.state, row.code) for row in self.memory.rows.values()]

    def count(self, outcome):
        return sample(self.metrics, "webhook_work_total", outcome=outcome)

    def failures(self):
        return sample(self.metrics, "loop_failures_total", loop="webhooks") or 0

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.work.run())
        yield task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def until(self, condition):
        for _ in range(5_000):
            if condition():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not come about")


async def test_a_webhook_is_done_when_its_study_lists_its_report():
    bench = Bench()
    await bench.told()
    assert await bench.work.once() == 1
    assert bench.states() == [("done", "")]
    assert (bench.studies.asked, bench.count("done")) == ([STUDY], 1)
    assert await bench.work.once() == 0


async def test_a_report_that_is_not_listed_yet_is_asked_for_with_growing_waits_and_found():
    bench = Bench(**{STUDY: set()})
    await bench.told()
    for attempt, wait in enumerate((1, 2, 5), start=1):
        assert await bench.work.once() == 1
        [row] = bench.memory.rows.values()
        assert (row.attempts, row.code, row.at) == (
            attempt,
            "report-not-listed",
            bench.clock() + timedelta(seconds=wait),
        )
        bench.clock.forward(wait - 0.01)
        assert await bench.work.once() == 0
        bench.clock.forward(0.01)
    bench.studies.known[STUDY] = {REPORT}
    assert await bench.work.once() == 1
    assert bench.states() == [("done", "")]
    assert (bench.count("again"), bench.count("done")) == (3, 1)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (set(), "report-not-listed"),
        (UpstreamNotFound("GET /studies/{studyId}", status=404), "upstream-not-found"),
        (UpstreamKeyRefused("GET /studies/{studyId}", status=401), "upstream-key-refused"),
        (ValueError("a bug"), "internal"),
        (asyncio.CancelledError("the flight, not the worker"), "internal"),
    ],
    ids=lambda one: str(one)[:20],
)
async def test_after_more_than_an_hour_it_is_given_up_and_an_error_says_so(found, code):
    bench = Bench(**{STUDY: found})
    await bench.told()
    with structlog.testing.capture_logs() as lines:
        for wait in WAITS:
            assert await bench.work.once() == 1
            assert bench.states() == [("due", code)]
            bench.clock.forward(wait)
        assert bench.clock() - NOW > timedelta(hours=1)
        assert await bench.work.once() == 1
    assert bench.states() == [("given up", code)]
    assert (bench.count("given_up"), bench.count("again")) == (1, len(WAITS))
    assert lines[-1] == {
        "event": "webhook-given-up",
        "log_level": "error",
        "report_id": REPORT,
        "study_id": STUDY,
        "code": code,
        "attempts": len(WAITS) + 1,
    }
    assert await bench.work.once() == 0


async def test_an_outage_is_waited_out_however_long():
    bench = Bench(**{STUDY: UpstreamFailed("GET /studies/{studyId}", status=503)})
    await bench.told()
    for _ in range(3 * len(WAITS)):
        assert await bench.work.once() == 1
        bench.clock.forward(OUTAGE_WAIT)
    assert bench.states() == [("due", "upstream-failed")]
    bench.studies.known[STUDY] = {REPORT}
    await bench.work.once()
    assert bench.states() == [("done", "")]


async def test_the_wait_that_autoscribe_asks_for_is_kept():
    bench = Bench(**{STUDY: UpstreamThrottled("GET /studies/{studyId}", status=429, retry_after=17.5)})
    await bench.told()
    await bench.work.once()
    assert bench.memory.rows["msg_1"].at == NOW + timedelta(seconds=17.5)


async def test_all_webhooks_about_a_study_share_one_fetch_and_each_is_settled_by_its_own_report():
    bench = Bench()
    await bench.told("msg_1")
    await bench.told("msg_2", report_id=f"rep_{'3' * 32}")
    await bench.told("msg_3")
    assert await bench.work.once() == 1
    assert bench.states() == [("done", ""), ("due", "report-not-listed"), ("done", "")]
    assert bench.studies.asked == [STUDY]


async def test_no_more_studies_are_fetched_at_one_time_than_there_are_slots_and_none_is_left():
    bench = Bench()
    for number in range(20):
        study_id = f"stu_{number:032x}"
        bench.studies.known[study_id] = {REPORT}
        await bench.told(f"msg_{number}", study_id)
    async with bench.running():
        await bench.until(lambda: set(bench.states()) == {("done", "")})
    assert bench.studies.most_at_work == 3
    assert sorted(bench.studies.asked) == sorted(bench.studies.known.keys() - {STUDY})


async def test_it_begins_at_once_when_woken_and_polls_when_not():
    bench = Bench(WorkPace(poll=60))
    async with bench.running():
        await asyncio.sleep(0.01)
        await bench.told()
        await bench.until(lambda: bench.states() == [("done", "")])
    bench = Bench(WorkPace(poll=0.005))
    async with bench.running():
        await asyncio.sleep(0.01)
        await bench.memory.record("msg_1", "whe_1", "report.delivered", {"reportId": REPORT, "studyId": STUDY}, NOW)
        await bench.until(lambda: bench.states() == [("done", "")])


async def test_a_study_that_hangs_keeps_no_other_waiting():
    bench = Bench(WorkPace(slots=2, poll=60))
    bench.studies.gate.clear()
    await bench.told("msg_1")
    async with bench.running():
        await bench.until(lambda: bench.studies.asked == [STUDY])
        bench.studies.known[OTHER] = {REPORT}
        hung, bench.studies.gate = bench.studies.gate, asyncio.Event()
        bench.studies.gate.set()
        await bench.told("msg_2", OTHER)
        await bench.until(lambda: bench.memory.rows["msg_2"].state == "done")
        assert bench.memory.rows["msg_1"].state == "due"
        hung.set()
        await bench.until(lambda: bench.memory.rows["msg_1"].state == "done")


async def test_a_webhook_that_comes_during_a_fetch_of_its_study_gets_a_fetch_that_begins_after_it():
    bench = Bench(WorkPace(poll=60))
    bench.studies.gate.clear()
    await bench.told("msg_1")
    async with bench.running():
        await bench.until(lambda: len(bench.studies.asked) == 1)
        await bench.told("msg_2")
        await asyncio.sleep(0.01)
        assert (bench.studies.asked, bench.states()) == ([STUDY], [("due", "")] * 2)
        bench.studies.gate.set()
        await bench.until(lambda: bench.states() == [("done", "")] * 2)
    assert bench.studies.asked == [STUDY, STUDY]


async def test_while_the_store_is_out_of_reach_nothing_is_lost_and_it_goes_on_afterwards():
    bench = Bench()
    await bench.told()
    bench.memory.down = OSError("no disk")
    with structlog.testing.capture_logs() as lines:
        async with bench.running():
            await bench.until(lambda: bench.failures() >= 2)
            bench.memory.down = None
            await bench.until(lambda: bench.states() == [("done", "")])
    assert {line["event"] for line in lines} == {"webhook-work-failed"}


async def test_what_was_fetched_and_could_not_be_settled_is_fetched_again():
    bench = Bench(WorkPace(poll=0.001))
    bench.studies.gate.clear()
    await bench.told()
    async with bench.running():
        await bench.until(lambda: bench.studies.at_work == 1)
        bench.memory.down = OSError("no disk")
        bench.studies.gate.set()
        await bench.until(lambda: bench.failures() >= 2)
        bench.memory.down = None
        await bench.until(lambda: bench.states() == [("done", "")])


async def test_stopping_leaves_what_is_under_way_to_the_next_start():
    bench = Bench()
    bench.studies.gate.clear()
    await bench.told()
    async with bench.running():
        await bench.until(lambda: bench.studies.at_work == 1)
    assert (bench.studies.at_work, bench.states()) == (0, [("due", "")])
    bench.studies.gate.set()
    assert await bench.work.once() == 1
    assert bench.states() == [("done", "")]


async def test_what_was_recorded_and_names_no_report_is_given_up_and_stops_nothing():
    bench = Bench()
    for number, kept in enumerate(({}, {"studyId": STUDY}, {"more": 1})):
        assert await bench.memory.record(f"msg_x{number}", f"whe_x{number}", "new.kind", kept, bench.clock())
    await bench.told()
    await bench.work.once()
    assert bench.states() == [("given up", "not-understood")] * 3 + [("done", "")]
    assert (bench.count("given_up"), bench.count("done")) == (3, 1)
