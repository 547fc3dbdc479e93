"""Status and certificate agree with the function `owed` for any sequence of settings and reports (D37)."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fakes.databases import at_once
from fakes.fed import Fed, destination, site
from fakes.scale import examples
from fakes.store import rows
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.fate import fate_of, fate_place
from gateway.feed.plan.planner import Planner, apply_plan, leave_plan
from gateway.ingest import Pipeline
from gateway.ingest.settings_in_force import SettingsInForce
from gateway.routing import Filter, Ignore, Routes, Scope, owed
from gateway.routing.owed import news, owed_by_no_one
from gateway.runtime.metrics import Metrics
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.settings.feed import Feed
from gateway.store.database.engine import Statement, ask
from gateway.store.database.kept import kept
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed import plans
from gateway.store.feed.alerts import unrouted
from gateway.store.feed.leases import Leases
from gateway.store.feed.ledger import report_records
from gateway.store.known_study import STUDY
from mappings.model import Cause

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
NAMES = ("ehr", "pacs")
TOLD = {"waiting", "held", "rendered", "merged"}
DELIVER = Statement(
    "UPDATE message SET state = 'delivered', ack = 'AA', sent = 1, attempts = 1 WHERE destination = :destination"
    " AND state = 'queued'"
)
FILTERS = st.builds(
    Filter,
    st.sampled_from((Scope(), Scope(modalities=frozenset({"CT"})), Scope(facilities=frozenset({"nowhere"})))),
    st.sampled_from(
        (frozenset({"final", "addendum", "corrected"}), frozenset({"final", "corrected"}), frozenset({"final"}))
    ),
    st.sampled_from(("all", "only", "none")),
)
STARTS = st.sampled_from((datetime(2020, 1, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)))
RULES = st.sampled_from(((), (Ignore("ct", "", Scope(modalities=frozenset({"CT"}))),)))
NAME = st.sampled_from(NAMES)
ACTS = st.one_of(
    st.tuples(st.just("settings"), NAME, FILTERS, STARTS, RULES),
    st.tuples(st.just("sign"), st.booleans()),
    st.tuples(st.just("correct"), st.integers(0, 9)),
    st.tuples(st.just("critical"), st.integers(0, 9)),
    st.tuples(st.just("add"), st.integers(0, 9)),
    st.tuples(st.sampled_from(("apply", "leave", "send", "make")), NAME),
)
# Statuses for a study whose messages wait: a signed report is owed whichever of these are set
STATUSES = st.sampled_from(
    tuple(frozenset({"final", *more}) for more in ((), ("addendum",), ("addendum", "corrected")))
)
WAITING = st.one_of(
    st.tuples(st.just("statuses"), STATUSES),
    st.tuples(st.sampled_from(("add", "correct")), st.just(0)),
    st.tuples(st.sampled_from(("make", "apply", "leave")), st.just("ehr")),
)
START = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """Feed whose settings change while reports are signed and corrected."""

    engine: Any
    addendum: str = "replace"
    account: SandboxAccount = field(default_factory=lambda: SandboxAccount(generate(studies=5)))
    signed: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.feed = Fed(self.engine, self.account, ())
        self.feed.pipeline = Pipeline(self.engine, site(), UTC, wants_pdf=False, routes=Routes())
        self.served: dict[str, Any] = {}
        self.rules: tuple[Ignore, ...] = ()

    async def act(self, verb: str, *what: Any) -> None:
        await getattr(self, verb)(*what)

    async def settings(self, name: str, accepts: Filter, start: datetime, rules: tuple[Ignore, ...]) -> None:
        """Start the service again with these settings: each destination's holder puts its own in force."""
        self.served[name], self.rules = self._destination(name, accepts, start), rules
        for target in self.served.values():
            lease = await Leases(self.engine, "one", 60).take(target.name)
            planning = Planner(self.engine, target, rules, Feed(unasked_messages=0))
            await planning.begin(lease)
            await planning.look()

    def _destination(self, name: str, accepts: Filter, start: datetime) -> Any:
        return destination(1, name, filter=accepts, start=start, addendum=self.addendum)

    async def statuses(self, statuses: frozenset[Any]) -> None:
        await self.settings("ehr", Filter(statuses=statuses), START, ())

    async def sign(self, is_critical: bool) -> None:
        self.signed.append(await self.feed.sign(critical=is_critical))

    async def correct(self, number: int) -> None:
        if self.signed:
            one = self.signed[number % len(self.signed)]
            self.account.change_text(one.report_id, f"FINDINGS: Wording {self.account.version}.")
            await self.feed.tell(one.study_id)

    async def critical(self, number: int) -> None:
        if self.signed:
            one = self.signed[number % len(self.signed)]
            report = self.account.find_report(one.report_id)
            self.account._put_report({**report, "isCritical": not report["isCritical"]})
            await self.feed.tell(one.study_id)

    async def add(self, number: int) -> None:
        if self.signed:
            one = self.signed[number % len(self.signed)]
            await self.feed.add(one)

    async def apply(self, name: str) -> None:
        await apply_plan(self.engine, name, await plans.plan_rows(self.engine, name))

    async def leave(self, name: str) -> None:
        await leave_plan(self.engine, name, await plans.plan_rows(self.engine, name))

    async def make(self, name: str) -> None:
        if name in self.served:
            lease = await Leases(self.engine, "one", 60).take(name)
            await DueRenderer(self.engine, site(), self.served[name], Metrics()).once(lease)

    async def send(self, name: str) -> None:
        await self.make(name)
        await self.engine.do(partial(ask, DELIVER, destination=name))

    async def check(self) -> None:
        """Compare the certificate and the status with the function."""
        in_force = await SettingsInForce(self.engine).current()
        counts = dict.fromkeys(("unrouted", "ignored"), 0)
        for study_id in dict.fromkeys(one.study_id for one in self.signed):
            known = kept((await self.engine.fetch(STUDY, study_id=study_id))[0][2])
            records = (await report_records(self.engine, [study_id]))[study_id]
            rows_of = [tuple(one) for one in await rows(self.engine, ROWS, study_id)]
            for report in known.study.completed:
                own = [row for row in rows_of if row[1] == report.report_id]
                order = list(dict.fromkeys(row[3] for row in own))
                newest = next(Cause(report.report_id, row[2], row[3]) for row in own if row[3] == order[-1])
                report_news = news(known.study, newest, report)
                accepted = []
                for name, each in in_force.revisions.items():
                    here = [row for row in rows_of if row[0] == name]
                    told = {row[1] for row in here if row[4] in TOLD}
                    mine = [row for row in here if row[1] == report.report_id]
                    made = fate_of(report.report_id, records.reports[report.report_id], fate_place(self.served[name]))
                    expected = owed(report_news, told, each[-1].terms)
                    last = {row[4] for row in mine if row[3] == newest.content_version}
                    accepted.append(self._agrees(expected, made, mine, last, is_last=bool(last & TOLD)))
                state, reason = owed_by_no_one(report_news, in_force.ignores, in_force.terms)
                nobody = [row for row in own if row[0] == "" and row[4] in {"unrouted", "ignored"}]
                if any(accepted):
                    assert nobody == []
                else:
                    assert [(row[4], row[5]) for row in nobody] == [(state, reason)]
                    counts[state] += 1
                    for name in in_force.revisions:
                        kind = fate_of(
                            report.report_id, records.reports[report.report_id], fate_place(self.served[name])
                        ).kind
                        assert kind in {state, "queued", "planned"}
        assert len(await unrouted(self.engine)) == counts["unrouted"]

    @staticmethod
    def _agrees(expected: Any, made: Any, mine: list[Any], newest: set[str], *, is_last: bool) -> bool:
        """True if the function says that a destination is owed the cause; the certificate must agree."""
        states = {row[4] for row in mine}
        if states & {"planned", "to_stop"}:
            assert made.is_open
            return expected.state != "excluded" or bool(newest & {"planned", "to_stop"})
        if is_last:
            assert made.kind in {"queued", "AA", "superseded by"}
            return True
        assert expected.state != "waiting" or "left" in states
        if expected.state == "before_start":
            assert made.kind in {"before_start", "queued"}
        return expected.state != "excluded" or "left" in newest


ROWS = (
    "SELECT destination, report_id, kind, content_version, state, reason FROM outbox WHERE study_id = ?"
    " AND kind NOT IN ('draft', 'draft_cancelled') ORDER BY number"
)


async def played(engine: Any, acts: list[Any]) -> None:
    async with engine.opened():
        world = World(engine)
        await world.act("sign", False)
        await world.act("settings", "ehr", Filter(), START, ())
        for act in acts:
            await world.act(*act)
            await world.check()


async def waited(engine: Any, addendum: str, acts: list[Any]) -> None:
    """Play acts while the messages of a critical original, and of its addendum, wait."""
    async with engine.opened():
        world = World(engine, addendum)
        await world.act("settings", "ehr", Filter(), START, ())
        await world.act("sign", True)
        await world.act("apply", "ehr")
        for act in (*acts, ("apply", "ehr"), ("send", "ehr")):
            await world.act(*act)
            await world.check()
        (original,) = world.signed
        record = (await report_records(engine, [original.study_id]))[original.study_id]
        made = await rows(engine, "SELECT report_ids FROM message WHERE state = 'delivered'")
        delivered = {report_id for (listed,) in made for report_id in json.loads(listed)}
        assert original.report_id in delivered
        for report_id, entry in record.reports.items():
            is_told = fate_of(report_id, entry, fate_place(world.served["ehr"])).kind in {"AA", "superseded by"}
            assert not is_told or report_id in delivered
            is_owed = entry.rows[-1].state in TOLD
            assert is_told or not is_owed


@pytest.mark.full
@given(st.lists(ACTS, min_size=1, max_size=8))
@settings(max_examples=examples(60), suppress_health_check=CHECKS, phases=[Phase.generate])
def test_status_and_certificate_say_what_is_owed_whatever_the_settings_were(migrated_sqlite, acts):
    with TemporaryDirectory() as folder:
        file = Path(shutil.copy(migrated_sqlite, folder))
        at_once(played(Sqlite(file), acts))


@pytest.mark.full
@given(st.sampled_from(("replace", "append", "new_order")), st.lists(WAITING, min_size=2, max_size=8))
@settings(max_examples=examples(100), suppress_health_check=CHECKS, phases=[Phase.generate])
def test_what_is_owed_of_a_study_whose_messages_wait_is_sent_whatever_stops_beside_it(migrated_sqlite, addendum, acts):
    with TemporaryDirectory() as folder:
        file = Path(shutil.copy(migrated_sqlite, folder))
        at_once(waited(Sqlite(file), addendum, acts))


@given(st.lists(ACTS, min_size=4, max_size=8))
@settings(max_examples=5, suppress_health_check=CHECKS, phases=[Phase.generate])
def test_status_and_certificate_say_what_is_owed_on_postgresql_too(postgres_server, acts):
    with postgres_server.database() as url:
        at_once(played(Postgres(url), acts))
