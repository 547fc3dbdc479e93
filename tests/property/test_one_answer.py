"""Status, show, explain, certificate, metrics and alerts give each report the same fate at each destination (D49)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fakes.charts import speak_of
from fakes.databases import at_once
from fakes.fed import Fed
from fakes.feed_site import destination
from fakes.gateway_process import environment, site_file
from fakes.inbox import sample
from fakes.scale import examples
from fakes.store import rows
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.fate import KINDS, UNREMARKABLE
from gateway.feed.operator import cancelled
from gateway.feed.operator.arguments import EVER
from gateway.feed.operator.certificate import certificate, write_certificate
from gateway.feed.operator.explain import Question, explain
from gateway.feed.operator.needing import critical_of_day
from gateway.feed.operator.replay import Replay
from gateway.feed.operator.show import WantedMessages, show
from gateway.feed.operator.status import status
from gateway.feed.plan.planner import Planner, apply_plan, leave_plan
from gateway.ingest.control_queue import ControlWork
from gateway.routing import Filter, Scope, routes_of
from gateway.runtime.errors import ConfigError
from gateway.runtime.metrics import Metrics
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from gateway.settings import Configuration, load
from gateway.settings.feed import Feed
from gateway.store.database.engine import Statement, ask
from gateway.store.database.facts import Controls
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed import plans
from gateway.store.feed.cancelled_reports import open_items
from gateway.store.feed.leases import Leases

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
NAMES = ("ehr", "pacs", "trial")
FAR = datetime(2199, 1, 1, tzinfo=UTC)
NOWHERE = Filter(Scope(facilities=frozenset({"nowhere"})))
FILTERS = (Filter(), NOWHERE, Filter(critical="only"), Filter(statuses=frozenset({"final"})))
# Outcome of the messages that are to be sent -> the columns that a sender writes
OUTCOMES = {
    "AA": "state = 'delivered', ack = 'AA', accepted = 5, committed = 5",
    "CA": "state = 'delivered', ack = 'CA', committed = 5",
    "refused": "state = 'held', reason = 'refused', ack = 'AE'",
    "in doubt": "state = 'indeterminate', reason = 'ack-timeout'",
    "given up": "state = 'dead_letter', reason = 'AR'",
    "in hand": "state = 'sending'",
}
# Fates of a message that the EHR was asked about; empty: it is to be looked up
FILED = ("", "found", "absent", "differs", "other patient", "older version", "not checkable", "AA")
NAME, NUMBER = st.sampled_from(NAMES), st.integers(0, 3)
ACTS = st.one_of(
    st.tuples(st.just("sign"), st.booleans()),
    st.tuples(st.sampled_from(("correct", "add", "move", "hide", "cancel", "uncancel", "withdraw", "leave")), NUMBER),
    st.tuples(st.just("change"), NAME, st.sampled_from(FILTERS), st.booleans(), st.booleans()),
    st.tuples(st.just("end"), NAME, st.sampled_from(sorted(OUTCOMES))),
    st.tuples(st.just("read_back"), NAME, st.sampled_from(FILED)),
    st.tuples(st.sampled_from(("apply", "leave_plan", "make", "hold", "replay")), NAME),
)


@dataclass
class Site:
    """Site with three destinations: one as usual, one with two acknowledgements, one in a dry run."""

    configuration: Configuration
    feed: Fed
    signed: list[Any] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def destination(self, name: str) -> Any:
        return next(one for one in self.feed.destinations if one.name == name)

    def chosen(self, number: int) -> Any:
        return self.signed[number % len(self.signed)]

    async def sign(self, is_critical: bool) -> None:
        self.signed.append(await self._fresh(partial(self.feed.account.sign_new, critical=is_critical)))

    async def add(self, number: int) -> None:
        one = self.chosen(number)
        if self.feed.account.find_study(one.study_id)["studyReportStatus"] == "completed":
            account = self.feed.account
            await self._fresh(lambda: account.sign(account.open_addendum(one.report_id)))

    async def _fresh(self, act: Any) -> Any:
        signed = act()
        await self.tell(signed.study_id)
        return signed

    async def tell(self, study_id: str) -> None:
        """Ingest a study; the settings stay as they are."""
        feed = self.feed
        feed.destinations, kept = (), feed.destinations
        await feed.tell(study_id)
        feed.destinations = kept

    async def correct(self, number: int) -> None:
        one = self.chosen(number)
        self.feed.account.change_text(one.report_id, f"FINDINGS: Wording {self.feed.account.version}.")
        await self.tell(one.study_id)

    async def move(self, number: int) -> None:
        await self.tell(
            speak_of(self.feed, self.chosen(number).report_id, mrn="SBXGEN-77777777", patientName="Who Else")
        )

    async def hide(self, number: int) -> None:
        """Cancel a signed addendum: AutoScribe lists it no longer."""
        study_id = self.chosen(number).study_id
        listed = self.feed.account.reports[study_id]
        self.feed.account.reports[study_id] = tuple(one for one in listed if not one["isAddendum"])
        self.feed.account._put_study(study_id)
        await self.tell(study_id)

    async def cancel(self, number: int, *, is_cancelled: bool = True) -> None:
        study_id = self.chosen(number).study_id
        self.feed.account.cancel_study(study_id, is_cancelled=is_cancelled)
        await self.tell(study_id)

    async def uncancel(self, number: int) -> None:
        await self.cancel(number, is_cancelled=False)

    async def withdraw(self, number: int) -> None:
        if await self._decide(cancelled.withdraw, number) and number % 2:  # the service may be down
            controls = Controls(self.feed.engine)
            await ControlWork(controls, self.feed.pipeline).work(await controls.open(10))

    async def leave(self, number: int) -> None:
        await self._decide(cancelled.leave, number)

    async def _decide(self, decide: Any, number: int) -> bool:
        items = await open_items(self.feed.engine, 100)
        if not items:
            return False
        try:
            return await decide(self.configuration, items[number % len(items)].report_id, "seen", self.said.append) == 0
        except ConfigError:  # its study is withdrawn
            return False

    async def change(self, name: str, accepts: Filter, is_late: bool, is_whole: bool) -> None:
        """Serve a destination with other settings; without `is_whole` their plan is still to be made."""
        changes: dict[str, Any] = {"filter": accepts} | ({"start": FAR} if is_late else {})
        target = replace(self.destination(name), **changes)
        self.feed.destinations = tuple(target if one.name == name else one for one in self.feed.destinations)
        planner = Planner(self.feed.engine, target, (), Feed(unasked_messages=0))
        await planner.begin(await self._lease(name))
        if is_whole:
            await planner.look()

    async def _lease(self, name: str) -> Any:
        return await Leases(self.feed.engine, "one", 600).take(name)

    async def apply(self, name: str) -> None:
        await apply_plan(self.feed.engine, name, await plans.plan_rows(self.feed.engine, name))

    async def leave_plan(self, name: str) -> None:
        await leave_plan(self.feed.engine, name, await plans.plan_rows(self.feed.engine, name))

    async def make(self, name: str) -> None:
        maker = DueRenderer(self.feed.engine, self.feed.settings, self.destination(name), Metrics())
        await maker.once(await self._lease(name))

    async def end(self, name: str, outcome: str) -> None:
        await self.make(name)
        became = f"{OUTCOMES[outcome]}, sent = 1, attempts = 1"
        sql = f"UPDATE message SET {became} WHERE destination = :name AND state = 'queued'"
        await self.feed.engine.do(partial(ask, Statement(sql), name=name))

    async def read_back(self, name: str, fate: str) -> None:
        """Find this of all messages that a destination took, in its EHR."""
        sql = (
            "INSERT INTO read_back (message, attempts, due, fate, detail, since) SELECT number, 1, 9, :fate, 'why', 7"
            " FROM message WHERE destination = :name AND state = 'delivered'"
            " ON CONFLICT (message) DO UPDATE SET fate = excluded.fate"
        )
        await self.feed.engine.do(partial(ask, Statement(sql), name=name, fate=fate))

    async def hold(self, name: str) -> None:
        became = "state = 'held', reason = 'authority-unknown'"
        sql = f"UPDATE outbox SET {became} WHERE destination = :name AND state = 'waiting'"
        await self.feed.engine.do(partial(ask, Statement(sql), name=name))

    async def replay(self, name: str) -> None:
        run = Replay(self.feed.engine, self.destination(name), 1)
        await run.add(self.chosen(0).study_id, None, 9)
        await run.flush(9)

    async def answers(self, command: Any, *what: Any) -> Any:
        """Return the answer of a command as JSON."""
        return (await command(self.feed.engine, self.configuration, *what)).document

    async def check(self, folder: Path) -> dict[tuple[str, str], Any]:
        """Compare the answers; return the fates by report and destination."""
        known = await rows(self.feed.engine, "SELECT report_id FROM report WHERE status = 'completed'")
        fates: dict[tuple[str, str], Any] = {}
        for (report_id,) in known:
            told = (await self.answers(show, WantedMessages(report_id)))["fates"]
            assert sorted(one["destination"] for one in told) == list(NAMES)
            fates |= {(report_id, one["destination"]): one for one in told}
        await self._certificate(folder / "certificate.json", fates)
        open_now = Counter((name, one["fate"]) for (_, name), one in fates.items() if one["isOpen"])
        await self._status(open_now)
        metrics = Metrics()
        monitor = AlertMonitor(self.feed.engine, self.feed.destinations, Feed(), "one", metrics)
        await monitor.turn()
        for name in NAMES:
            for kind in KINDS:
                shown = sample(metrics, "feed_open_reports", destination=name, fate=kind) or 0
                assert shown == open_now[name, kind], (name, kind)
        for one in await critical_of_day(self.feed.engine, self.configuration):
            assert one.fate.kind == fates[one.report_id, one.destination]["fate"]
        items = [one.report_id for one in await open_items(self.feed.engine, 100) if one.state == "open"]
        assert (sample(metrics, "feed_alert", code="cancelled-after-sign", destination="") or 0) == len(items)
        return fates

    async def _certificate(self, file: Path, fates: dict[tuple[str, str], Any]) -> None:
        answer = await certificate(self.feed.engine, self.configuration, None, EVER)
        write_certificate(answer, file)
        made, code = json.loads(await asyncio.to_thread(file.read_text)), answer.exit_code
        await self._filed(fates)
        assert made["reports"] == len({report_id for report_id, _ in fates})
        for account in made["destinations"]:
            here = {report_id: one for (report_id, name), one in fates.items() if name == account["name"]}
            kinds = Counter(one["fate"] for one in here.values())
            assert {kind: count for kind, count in account["counts"].items() if count} == kinds
            assert account["open"] == sum(one["isOpen"] for one in here.values())
            lines = {one["reportId"]: one for one in account["reports"]}
            assert {one for one in here if here[one]["fate"] not in UNREMARKABLE} <= lines.keys()
            for report_id, line in lines.items():
                keys = ("studyId", "fate", "detail", "since", "isOpen", "remarks")
                assert [line[key] for key in keys] == [here[report_id][key] for key in keys]
        assert (made["verdict"], code) == (
            ("open", 1) if any(one["isOpen"] for one in fates.values()) else ("certified", 0)
        )

    async def _filed(self, fates: dict[tuple[str, str], Any]) -> None:
        """With `--filed` open is, too, what is to be looked up in the EHR or cannot be, and nothing else."""
        filed = await certificate(self.feed.engine, self.configuration, None, EVER, is_filed=True)
        unread = {("AA", "to-be-read-back"), ("not checkable", "why")}
        for account in filed.accounts:
            here = [one for (_, name), one in fates.items() if name == account.place.label]
            assert account.open == sum(one["isOpen"] or (one["fate"], one["detail"]) in unread for one in here)

    async def _status(self, open_now: Counter[tuple[str, str]]) -> None:
        overview = await self.answers(status)
        for one in overview["destinations"]:
            assert one["openReports"] == {
                kind: count for (name, kind), count in open_now.items() if name == one["name"]
            }
        cancelled_now = {one["reportId"] for one in overview["cancelledAfterSign"]}
        assert cancelled_now == {one.report_id for one in await open_items(self.feed.engine, 100)}

    async def explained(self, fates: dict[tuple[str, str], Any]) -> None:
        """Compare the answer of `explain` about one report."""
        report_id = self.signed[0].report_id
        told = (await self.answers(explain, Question(report_id, "OBR-25", at="ehr")))["fates"]
        assert told == [fates[report_id, "ehr"]]


@asynccontextmanager
async def opened(folder: Path, database: Path) -> AsyncIterator[Site]:
    """Open the site, with AutoScribe and a store of its own."""
    file = site_file(folder)
    profile = '[[mapping.receivers]]\nname = "two"\nbase = "generic"\nack_mode = "two_phase"\n'
    tables = destination(1), destination(2, "pacs", receiver='"two"'), destination(3, "trial", dry_run="true")
    file.write_text(file.read_text() + profile + "".join(tables))
    with listening_socket("127.0.0.1", 0) as listener, pytest.MonkeyPatch.context() as patched:
        options = SandboxOptions(port=listener.getsockname()[1], studies=0)
        sandbox, account = open_sandbox(options)
        for name, value in environment(options.base_url, f"sqlite:///{database}", file).items():
            patched.setenv(name, value)
        async with running(sandbox, listener), (engine := Sqlite(database)).opened():
            configuration = load(None)
            feed = Fed(engine, account, routes_of(configuration).destinations, configuration.site)
            made = Site(configuration, feed)
            for name in NAMES:
                await made.change(name, Filter(), is_late=False, is_whole=True)
            yield made


async def played(folder: Path, database: Path, acts: list[Any]) -> None:
    async with opened(folder, database) as site:
        await site.sign(False)
        for verb, *what in acts:
            await getattr(site, verb)(*what)
        await site.explained(await site.check(folder))


@pytest.mark.full
@given(st.lists(ACTS, min_size=1, max_size=12))
@settings(max_examples=examples(40), suppress_health_check=CHECKS, phases=[Phase.generate])
def test_every_command_gives_each_report_the_same_fate_at_each_destination(migrated_sqlite, acts):
    with TemporaryDirectory() as folder:
        at_once(played(Path(folder), Path(shutil.copy(migrated_sqlite, folder)), acts))
