"""Feed in one process: an account in which people sign, the pipeline, and the workers of the destinations.

The upstream is not called: `tell` ingests a study in its present state in AutoScribe.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from fakes import facade
from fakes.in_force import always_in_force
from fakes.store import rows
from structlog.testing import capture_logs

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.feed.deliver.feed_journal import UNKEPT, Journal
from gateway.feed.payload import PayloadKind
from gateway.ingest import Fetched, Pipeline
from gateway.routing import Destination, Filter, Mllp, Retry, Routes
from gateway.runtime import clock
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import Metrics
from gateway.sandbox.late_acks import AckAddress
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.seed import generate, report_list
from gateway.sandbox.state import SandboxAccount
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.lanes import release_lane
from gateway.store.feed.leases import Leases, paused, resumed
from mappings.profile import Site
from mappings.profile import receiver as profile

START = datetime(2020, 1, 1, tzinfo=UTC)
QUICK = Retry(first=0.05, cap=0.2, jitter=0.0, in_flight=0.0)
REFUSALS = ("AE", "AR", "CE", "CR")
MADE = {"rendered", "merged"}


def destination(port: int, name: str = "ehr", **more: Any) -> Destination:
    """Make a destination on this machine with quick retries."""
    keys = ("tls", "connect_timeout", "close_after_each", "ack_listen", "ack_peers")
    way = {key: more.pop(key) for key in keys if key in more}
    transport = Mllp(more.pop("host", "127.0.0.1"), port, ack_timeout=more.pop("ack_timeout", 5.0), **way)
    switches = {key: more.pop(key) for key in ("window", "ack_mode", "ack_table", "addendum") if key in more}
    usual = {"receiver": replace(profile("generic"), **switches), "start": START, "filter": Filter(), "retry": QUICK}
    usual["on_conflict"] = "send"  # some of the sandbox's people have another name in each study
    return Destination(name, f"destination[{name}]", transport, **{**usual, **more})


def site() -> Site:
    """Return the site of the facade's tests, in which every facility of the sandbox has an authority for its MRNs."""
    known = facade.site()
    return replace(known, default_facility=next(iter(known.facilities.values())))


@dataclass
class Fed:
    """The account, the store and the destinations; `settings` is the site after a restart."""

    payload: ClassVar[PayloadKind] = HL7V2

    engine: Engine
    account: SandboxAccount
    destinations: tuple[Destination, ...]
    settings: Site | None = None
    metrics: Metrics = field(default_factory=Metrics)
    logs: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(
            self.engine, self.settings or site(), UTC, wants_pdf=False, routes=Routes(self.destinations)
        )

    def restart(self, settings: Site, **changes: Any) -> None:
        """Continue with other settings, of the site and of every destination."""
        self.settings, self.destinations = settings, tuple(replace(one, **changes) for one in self.destinations)
        self.__post_init__()

    async def tell(self, *study_ids: str) -> None:
        """Ingest these studies in their present state; the settings are in force as if they always had been."""
        await always_in_force(self.engine, self.destinations)
        for study_id in study_ids:
            study = self.account.find_study(study_id)
            reports = self.account.reports_of(study)
            users = tuple(self.account.users.values())
            fetched = Fetched(study, report_list(study, reports), users, micros(clock.now()))

            async def fetch(one: Fetched = fetched) -> Fetched:
                return one

            await self.pipeline.ingest(study_id, fetch)

    async def sign(self, text: str = "", **more: Any) -> Any:
        """Sign a report of a new study, with that text if given, and ingest it."""
        signed = self.account.sign_new(**more)
        if text:
            self.account.change_text(signed.report_id, text)
        await self.tell(signed.study_id)
        return signed

    async def add(self, signed: Any) -> Any:
        """Sign an addendum to a signed report, and ingest it."""
        addendum = self.account.sign(self.account.open_addendum(signed.report_id))
        await self.tell(signed.study_id)
        return addendum

    @asynccontextmanager
    async def serving(
        self, holder: str = "one", settings: Feed | None = None, journal: Journal = UNKEPT
    ) -> AsyncIterator[None]:
        """Serve the destinations while the block runs, and stop cleanly."""
        await always_in_force(self.engine, self.destinations, changes=False)
        feed = settings or Feed()
        leases = Leases(self.engine, holder, feed.lease)
        makings = [
            DueRenderer(self.engine, self.settings or site(), one, self.metrics, self.payload)
            for one in self.destinations
        ]
        async with alongside(
            DestinationWorker(one, leases, feed, self.metrics, journal=journal).run() for one in makings
        ):
            yield

    async def states(self) -> list[str]:
        """States of all messages, in order."""
        return [str(one) for (one,) in await rows(self.engine, "SELECT state FROM message ORDER BY number")]

    async def until(self, *wanted: str, seconds: float = 60) -> None:
        """Wait until the messages have these states, and nothing is left to compose."""
        states: list[str] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    left = await rows(self.engine, "SELECT count(*) FROM outbox WHERE state = 'waiting'")
                    states = await self.states()
                    if tuple(states) == wanted and not int(left[0][0]):
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            detail = [tuple(one) for one in await rows(self.engine, "SELECT state, reason, ack, doubts FROM message")]
            outbox = [tuple(one) for one in await rows(self.engine, "SELECT state, reason FROM outbox")]
            raise AssertionError(f"wanted {wanted}, found {detail}, outbox {outbox}") from None

    async def until_rows(self, sql: str, wanted: Callable[[list[Any]], bool], seconds: float = 60) -> list[Any]:
        """Return the rows of a query once they are as wanted."""
        matching: list[Any] = []
        try:
            async with asyncio.timeout(seconds):
                while not wanted(matching := await rows(self.engine, sql)):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"found {matching}") from None
        return matching

    async def seen(self, state: str, reason: str = "") -> None:
        """Wait until a message has that state and reason in the store."""
        await self.until_rows("SELECT state, reason FROM message", lambda found: (state, reason) in found)

    async def held_lane(self) -> tuple[str, str]:
        """Wait for a held lane; return its study and reason."""
        ((study_id, reason),) = await self.until_rows("SELECT study_id, reason FROM lane", bool)
        return str(study_id), str(reason)

    async def paused(self) -> str:
        """Wait until the destination is paused; return the reason."""
        return str((await self.until_rows("SELECT paused FROM destination WHERE paused <> ''", bool))[0][0])

    async def pause(self) -> None:
        """Pause the destination, as an operator does."""
        await self.engine.do(partial(paused, self.destinations[0].name, "operator", micros(clock.now())))

    async def queue(self, count: int) -> None:
        """Have this many messages composed and none sent, until `resume`."""
        await self.pause()
        for _ in range(count):
            await self.sign(critical=False)
        async with self.serving():
            await self.until(*["queued"] * count)

    async def release(self, study_id: str, *, is_corrected: bool = False) -> None:
        """Release a held study, as an operator does."""
        now = micros(clock.now())
        name = self.destinations[0].name
        await self.engine.do(partial(release_lane, name, study_id, now, is_corrected=is_corrected))

    async def resume(self) -> None:
        """Resume the destination, as an operator does."""
        await self.engine.do(lambda: resumed(self.destinations[0].name))

    async def all_delivered(self, seconds: float = 60) -> None:
        """Wait until no message is pending."""
        left = "SELECT state FROM message WHERE state IN ('queued', 'sending', 'indeterminate')"
        async with asyncio.timeout(seconds):
            while await rows(self.engine, f"{left} UNION ALL SELECT state FROM outbox WHERE state = 'waiting'"):
                await asyncio.sleep(0.02)

    def words(self) -> Iterator[str]:
        """Yield texts found only in patients' charts: names, numbers and lines of the account's reports."""
        for report in (one for listed in self.account.reports.values() for one in listed):
            said = report.get("snapshotMetadata") or {}
            yield from re.findall(r"[^\W\d_]{4,}", str(said.get("patientName") or ""))
            yield from re.findall(r"\w{4,}", str(said.get("mrn") or ""))
            yield from (line.strip() for line in str(report.get("reportPlainText") or "").splitlines())


@asynccontextmanager
async def fed(engine: Engine, ack: Any = "aa", *, count: int = 1, **more: Any) -> AsyncIterator[tuple[Fed, Any]]:
    """Open a feed to `count` receivers with this answer; return the feed, and the receiver or all of them."""
    async with AsyncExitStack() as stack:
        reply_to = AckAddress(*more["ack_listen"]) if "ack_listen" in more else None
        each = (MllpReceiver(port=0, ack=ack, reply_to=reply_to) for _ in range(count))
        receivers = [await stack.enter_async_context(one) for one in each]
        names = ["ehr", *(f"ehr{number}" for number in range(2, count + 1))]
        made = tuple(destination(one.port, name, **more) for one, name in zip(receivers, names, strict=True))
        await always_in_force(engine, made)
        feed = Fed(engine, SandboxAccount(generate(studies=20)), made, logs=stack.enter_context(capture_logs()))
        yield feed, receivers[0] if count == 1 else receivers


async def assert_all_arrived(
    feed: Fed, *receivers: Any, repeats: bool = False, ends: Iterable[str] = ("delivered",), name: str = "ehr"
) -> None:
    """Assert that nothing is lost, out of order in its lane, altered or doubled, and no patient data is in logs.

    Every message of a destination is in one of the allowed end states. `repeats`: a message may have been accepted
    twice, with the same bytes. A refused message does not count as accepted.
    """
    made = (
        "SELECT control_id, m.number, study_id, body, state FROM message m JOIN message_body b ON b.number = m.number"
        " WHERE destination = ? ORDER BY m.number"
    )
    sent = {str(one[0]): one[1:] for one in await rows(feed.engine, made, name)}
    assert {str(one[3]) for one in sent.values()} <= set(ends)
    outbox = await rows(feed.engine, "SELECT state FROM outbox WHERE destination = ?", name)
    assert {str(state) for (state,) in outbox} <= MADE
    came = [one for receiver in receivers for one in receiver.messages if one.payload.startswith(b"MSH")]
    taken = [one.control_id for one in came if one.answer not in REFUSALS]
    assert all(one.payload == bytes(sent[one.control_id][2]) for one in came)
    assert {key for key, one in sent.items() if one[3] == "delivered"} <= set(taken)
    assert repeats or len(taken) == len(set(taken))
    lanes: dict[str, list[int]] = {}
    for arrived in came:
        lanes.setdefault(str(sent[arrived.control_id][1]), []).append(int(sent[arrived.control_id][0]))
    assert all(numbers == sorted(numbers) for numbers in lanes.values())
    assert_nothing_of_a_patient(feed, repr(feed.logs))


def assert_nothing_of_a_patient(feed: Fed, text: str) -> None:
    """Assert that no name, number or line of the account's reports is in a text."""
    words = (re.escape(word) for word in set(feed.words()) if 3 < len(word) < 200)
    found = [word for word in words if re.search(rf"(?<!\w){word}(?!\w)", text)]
    assert not found


@asynccontextmanager
async def stopped(receiver: MllpReceiver) -> AsyncIterator[None]:
    """Stop a receiver while the block runs; then let it listen again on the same port."""
    await receiver.__aexit__(None, None, None)
    yield
    await receiver.__aenter__()


def bodies(receiver: MllpReceiver) -> list[bytes]:
    """Bodies of the messages that a receiver got, in order."""
    return [one.payload for one in receiver.messages]


def ids(messages: Iterable[Any]) -> list[str]:
    """MSH-10 of received messages, in order."""
    return [one.control_id for one in messages]
