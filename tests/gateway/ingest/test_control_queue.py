"""Requests of commands and webhooks run within a second, once each, and none holds up the rest."""

import asyncio
from datetime import UTC

import pytest
import structlog
from fakes.fhir_studies import SITE, report
from fakes.store import rows
from fakes.taken_in import current, take
from fakes.upstream_json import STUDY_ID, STUDY_UID

from gateway.ingest import Pipeline, control_queue
from gateway.ingest.control_queue import ControlWork
from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable, StudyContended
from gateway.runtime.loops import alongside
from gateway.store.database.facts import Control, Controls
from gateway.store.enrichment import StoredEnrichments
from mappings.issues import WireError


class Asked:
    """Control rows in memory. Every method raises `down`, if it is set."""

    def __init__(self, *asked):
        self.rows = {number: Control(number, verb, study) for number, (verb, study) in enumerate(asked, 1)}
        self.down = None

    async def open(self, most):
        self._reach()
        return list(self.rows.values())[:most]

    async def ask(self, verb, argument):
        self._reach()
        number = max(self.rows) + 1
        self.rows[number] = Control(number, verb, argument)

    async def done(self, number):
        self._reach()
        del self.rows[number]

    def _reach(self):
        if self.down is not None:
            raise self.down


class Doing:
    """Pipeline that records its calls, and fails for the studies in `failures`."""

    def __init__(self, **failures):
        self.failures, self.done = failures, []

    async def refresh(self, study_id):
        self._do("refresh", study_id)

    async def rerender(self, study_id):
        self._do("rerender", study_id)

    def _do(self, verb, study_id):
        if study_id in self.failures:
            raise self.failures[study_id]
        self.done.append((verb, study_id))


async def until(condition):
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come about")


async def test_what_is_asked_is_done_in_order_and_once():
    asked, doing = Asked(("refresh", "a"), ("rerender", "b"), ("refresh", "a")), Doing()
    work = ControlWork(asked, doing)
    assert await work.once() == 1
    assert doing.done == [("refresh", "a"), ("rerender", "b"), ("refresh", "a")]
    assert await work.once() == 0


async def test_what_is_not_known_is_said_and_let_go_of():
    asked, doing = Asked(("explode", "a"), ("refresh", "b")), Doing()
    with structlog.testing.capture_logs() as lines:
        await ControlWork(asked, doing).once()
    assert [(line["event"], line["action"]) for line in lines] == [("control-not-known", "explode")]
    assert (doing.done, asked.rows) == ([("refresh", "b")], {})


@pytest.mark.parametrize("failure", [WireError("/reports/0", "an object", "text"), ZeroDivisionError()])
async def test_what_cannot_be_done_is_said_and_holds_up_nothing(failure):
    asked, doing = Asked(("refresh", "bad"), ("refresh", "good")), Doing(bad=failure)
    with structlog.testing.capture_logs() as lines:
        assert await ControlWork(asked, doing).once() == 1
    assert [(line["event"], line["log_level"], line["study_id"]) for line in lines] == [
        ("control-failed", "error", "bad")
    ]
    assert (doing.done, asked.rows) == ([("refresh", "good")], {})


async def test_while_the_store_cannot_be_reached_what_is_asked_stays_asked():
    asked, doing = Asked(("refresh", "a"), ("refresh", "b")), Doing(a=StoreUnavailable("gone"))
    work = ControlWork(asked, doing)
    work.poll = 0
    with structlog.testing.capture_logs() as lines:
        await work.once()
    assert [(line["event"], line["code"]) for line in lines] == [("control-not-done", "store-unavailable")]
    assert (len(asked.rows), doing.done) == (2, [])
    doing.failures.clear()
    await work.once()
    assert doing.done == [("refresh", "a"), ("refresh", "b")]


async def test_a_study_that_others_write_again_and_again_holds_up_no_other_and_is_the_last_then():
    asked, doing = Asked(("refresh", "a"), ("refresh", "b")), Doing(a=StudyContended("again and again"))
    work = ControlWork(asked, doing)
    work.poll = 0
    with structlog.testing.capture_logs() as lines:
        await work.once()
    assert [(line["event"], line["code"]) for line in lines] == [("control-not-done", "study-contended")]
    assert doing.done == [("refresh", "b")]
    assert [(row.verb, row.argument) for row in asked.rows.values()] == [("refresh", "a")]
    doing.failures.clear()
    await work.once()
    assert (doing.done, asked.rows) == ([("refresh", "b"), ("refresh", "a")], {})


@pytest.mark.parametrize("failure", [StoreUnavailable("gone"), ZeroDivisionError()])
async def test_it_looks_every_second_whatever_happens(failure):
    asked, doing = Asked(("refresh", "a")), Doing()
    work = ControlWork(asked, doing)
    assert work.poll == 1
    work.poll, asked.down = 0.001, failure
    with structlog.testing.capture_logs() as lines:
        async with alongside([work.run()]):
            await until(lambda: len(lines) >= 2)
            asked.down = None
            await until(lambda: not asked.rows)
            asked.rows[2] = Control(2, "refresh", "b")
            await until(lambda: not asked.rows)
    assert {line["event"] for line in lines} == {"control-not-done"}
    assert doing.done == [("refresh", "a"), ("refresh", "b")]


async def test_where_there_is_more_to_do_it_does_not_wait():
    doing = Doing()
    asked = Asked(*[("refresh", str(number)) for number in range(control_queue.MOST + 1)])
    work = ControlWork(asked, doing)
    work.poll = 60
    async with alongside([work.run()]):
        await until(lambda: not asked.rows)
    assert [study for _, study in doing.done] == [str(number) for number in range(control_queue.MOST + 1)]


async def test_an_accession_number_that_a_webhook_tells_of_later_goes_into_the_study(sqlite_engine):
    pipeline = Pipeline(sqlite_engine, SITE, UTC)
    await take(pipeline, report())
    await StoredEnrichments(sqlite_engine).keep(STUDY_UID, "A-77", None, clock.now())
    assert await rows(sqlite_engine, "SELECT verb, argument FROM control WHERE done IS NULL") == [("refresh", STUDY_ID)]
    assert await ControlWork(Controls(sqlite_engine), pipeline).once() == 1
    assert "A-77" in str(await current(sqlite_engine, "ServiceRequest"))
    assert await rows(sqlite_engine, "SELECT count(*) FROM control WHERE done IS NULL") == [(0,)]


async def test_a_study_that_is_not_stored_is_nothing_to_do(sqlite_engine):
    controls = Controls(sqlite_engine)
    await controls.ask("refresh", STUDY_ID)
    await controls.ask("rerender", STUDY_ID)
    assert await ControlWork(controls, Pipeline(sqlite_engine, SITE, UTC)).once() == 1
    assert await controls.open(10) == []
