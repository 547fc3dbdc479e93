"""Gateways that feed one receiver from one store under seeded faults, and the laws that must hold all the same.

Decision D33. `DestinationWorker`, `Sender`, `Connection`, `Peer` and every statement are real. Not real: the database's
location, the network, the clock, and the composer, whose message text is the number of the version.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from fakes.fed import destination
from fakes.lanes import stored
from fakes.simulation.loops import Scheduler
from fakes.simulation.network import Arrived, Manners, Network, Wire
from fakes.simulation.store import SECOND, Direct, Distant, done, in_memory

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.deliver import destination_worker
from gateway.feed.fate import fate_of, fate_place
from gateway.feed.payload import PayloadKind
from gateway.ingest.settings_in_force import wanted
from gateway.mllp import peer
from gateway.routing import Destination, Retry
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Statement, Steps, ask, micros
from gateway.store.database.locks import REVISION, Outdated
from gateway.store.feed import messages
from gateway.store.feed.leases import Lease, Leases
from gateway.store.feed.ledger import report_records
from gateway.store.feed.outbox import ADD_CAUSE, ComposedStudy, NewMessage, Outbox, SettledRow
from gateway.store.feed.plans import plan_made, put_in_force
from gateway.store.feed.sent import read_sent

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
LEASE, CONNECT, ACK = 2.0, 3.0, 3.0  # seconds
TROUBLE = 11.0  # seconds after which no more faults occur
END = 120.0  # seconds by which everything must be certified
LOOK = 0.5  # seconds between two checks by a holder
TOLD = 3 * LEASE + ACK  # seconds in which a gateway that wrote too late must report it
RETRY = Retry(first=0.05, cap=0.2, jitter=0.0, indeterminate_resends=10_000)
_STUDY = Statement(
    "INSERT INTO study (study_id, revision, is_external, has_signed, has_warnings, listed_digest, received_digest,"
    " received, kept, fetched, listed) VALUES (:study_id, 1, 0, 1, 0, '', '', :empty, :empty, 1, 1)"
    " ON CONFLICT (study_id) DO UPDATE SET revision = study.revision + 1"
)
_REPORT = Statement(
    "INSERT INTO report (report_id, study_id, status, is_addendum, signed, first_seen, first_seen_signed)"
    " VALUES (:report_id, :study_id, 'completed', 0, 1, 1, 1) ON CONFLICT DO NOTHING"
)
_HOLDER = "SELECT holder FROM destination WHERE name = 'ehr' AND expires > ?"


class LawBroken(AssertionError):
    """A law did not hold; the text names the law, the time, and the seed that reproduces it."""


@dataclass
class Plan:
    """Plan of the faults; `jumps` if a gateway may be suspended while it writes, which nobody can prevent."""

    gateways: int
    studies: int
    changes: int
    closes: bool
    window: int
    jumps: bool
    suspends: float
    freezes: float
    slow: float
    shut: float

    @classmethod
    def drawn(cls, dice: Random) -> Plan:
        return cls(
            gateways=dice.choice((2, 2, 3)),
            studies=dice.choice((1, 1, 2)),
            changes=dice.randint(3, 7),
            closes=dice.random() < 0.6,
            window=dice.choice((1, 1, 2)),
            jumps=dice.random() < 0.3,
            suspends=dice.choice((0.0, 0.3, 0.5)),
            freezes=dice.choice((0.0, 0.3, 0.5)),
            slow=dice.choice((0.1, 0.5)),
            shut=dice.choice((0.0, 0.3)),
        )


@dataclass
class Writer:
    """Composer of the messages: one for each study, whose text is the study's present version."""

    payload: ClassVar[PayloadKind] = HL7V2

    engine: Distant
    destination: Destination
    current: dict[str, int]

    async def see_settings(self, lease: Lease) -> None:
        """Ignore the settings: no message depends on them."""

    async def once(self, lease: Lease) -> int:
        due = await Outbox(self.engine).due("ehr", clock.now(), 50)
        for study_id in due:
            await self._of(lease, study_id)
        return len(due)

    async def _of(self, lease: Lease, study_id: str) -> None:
        ((revision,),) = await self.engine.fetch(REVISION, study_id=study_id)
        version = self.current[study_id]
        rows = (await Outbox(self.engine).waiting("ehr", [study_id]))[study_id]
        sent = (await read_sent(self.engine, "ehr", [study_id]))[study_id]
        if not rows or sent.is_in_hand or version != revision:
            return
        row = rows[-1]
        settled = [SettledRow(one.number, "rendered" if one is row else "merged") for one in rows]
        control_id = f"{study_id}.{version}.{row.number}"
        made = ComposedStudy(study_id, revision, settled, [self._message(study_id, version, control_id, row)], sent)
        try:
            await self.engine.do(partial(stored, lease, made, micros(clock.now())))
        except Outdated:
            return

    def _message(self, study_id: str, version: int, control_id: str, row: Any) -> NewMessage:
        text = "MSH|^~\\&|GW|S|R|F|2026||ORU^R01^ORU_R01|{}|P|2.5.1\rOBR|1||{}\rNTE|1||{}|{}\r"
        return NewMessage(
            outbox=row.number,
            report_id=f"rep_{study_id}",
            kind=row.kind,
            content_version=str(version),
            control_id=control_id,
            restates=f"{study_id}/",
            filler_order_numbers=(study_id,),
            report_ids=(f"rep_{study_id}",),
            patient_id="pat",
            is_whole=True,
            is_draft=False,
            is_critical=False,
            priority=1,
            signed=None,
            body=text.format(control_id, study_id, version, "x" * 40).encode(),
        )


class Gateway:
    """One process: its loop, its access to the database, and its worker."""

    def __init__(self, world: World, name: str) -> None:
        self.loop = world.scheduler.loop(name)
        self.loop.connect = world.network.connect
        self.engine = Distant(world.database, world.database_time, self.loop, world.dice)
        self.skew = timedelta(seconds=world.dice.uniform(-1, 1))
        writer = Writer(self.engine, world.destination, world.current)
        feed = Feed.model_construct(**{**Feed().model_dump(), "lease": LEASE})
        leases = Leases(self.engine, name, LEASE)
        serving = destination_worker.DestinationWorker(writer, leases, feed, world.metrics)  # type: ignore[arg-type]
        self.task = self.loop.create_task(serving.run())


@dataclass
class World:
    """The whole simulation; `run` executes it and checks the laws."""

    seed: int
    migrated: Path
    fileno: int
    metrics: Metrics
    plan: Plan | None = None
    current: dict[str, int] = field(default_factory=dict)
    excused: dict[str, float] = field(default_factory=dict)
    jumped: set[str] = field(default_factory=set)
    events: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)
        self.plan = self.plan or Plan.drawn(self.dice)
        self.scheduler = Scheduler(self.dice)
        self.network = Network(self.scheduler, self.fileno)
        self.network.manners, self.network.tell, self.network.on_write = self._manners, self._arrived, self._written
        self.database: sqlite3.Connection = in_memory(self.migrated)
        self.direct = Direct(self.database, self.database_time)
        self.destination = destination(
            1, retry=RETRY, connect_timeout=CONNECT, ack_timeout=ACK, window=self.plan.window
        )
        standing = done(self.database, partial(put_in_force, None, wanted(self.destination.terms, ()), 1, since=0))
        done(self.database, partial(plan_made, None, standing.number, 1))
        self.gateways = [Gateway(self, f"gw{number}") for number in range(self.plan.gateways)]
        for one in self.gateways:
            one.engine.after = partial(self._committed, one)
        self._countdown: dict[str, tuple[int, float]] = {}
        for gateway in self.gateways:
            gateway.loop.before = partial(self._before, gateway)
        for _ in range(self.plan.changes):
            study_id = f"stu{self.dice.randrange(self.plan.studies)}"
            self.scheduler.at(self.dice.uniform(0.2, TROUBLE - 2), partial(self._change, study_id))

    def install(self, monkeypatch: Any) -> World:
        """Replace the gateways' clock and their calls to the kernel by this world's."""
        monkeypatch.setattr(clock, "monotonic", self._monotonic)
        monkeypatch.setattr(clock, "now", self._now)
        monkeypatch.setattr(peer, "unacknowledged", self.network.unsent)
        monkeypatch.setattr(destination_worker, "_LOOK", LOOK)
        return self

    def run(self) -> None:
        """Run the simulation.

        Raises:
            LawBroken: the receiver's last version is old but certified, or not everything is certified at the end.
        """
        try:
            self._look_now_and_then()
            self.scheduler.run(TROUBLE)
            self.scheduler.run(END, self._is_settled)
            self._see_the_end()
            if self.broken:
                raise LawBroken(self.broken[0])
        finally:
            self.network.tell = self.network.on_write = lambda *_: None  # type: ignore[assignment]
            self.scheduler.finish()
            self.database.close()

    def database_time(self) -> int:
        return micros(START) + int(self.scheduler.now * SECOND)

    def _monotonic(self) -> float:
        loop = asyncio._get_running_loop()
        return loop.time() if loop is not None else self.scheduler.now

    def _now(self) -> datetime:
        loop = asyncio._get_running_loop()
        skew = next((one.skew for one in self.gateways if one.loop is loop), timedelta())
        return START + skew + timedelta(seconds=self._monotonic())

    # Events

    def _change(self, study_id: str) -> None:
        self.current[study_id] = version = self.current.get(study_id, 0) + 1
        report_id = f"rep_{study_id}"

        def changed() -> Steps[None]:
            yield from ask(_STUDY, study_id=study_id, empty=b"")
            yield from ask(_REPORT, report_id=report_id, study_id=study_id)
            kind = "signed" if version == 1 else "text_changed"
            cause = {"kind": kind, "content_version": str(version), "state": "waiting", "reason": "", "is_move": 0}
            row = {"study_id": study_id, "report_id": report_id, "destination": "ehr", "is_critical": 0, "due": 0}
            yield from ask(ADD_CAUSE, **cause, **row, signed=None, now=self.database_time())

        done(self.database, changed)
        self._log(f"{study_id} is at version {version}")

    def _manners(self) -> Manners:
        plan, dice = self.plan, self.dice
        assert plan is not None
        if self.scheduler.now > TROUBLE:
            return Manners(closes=plan.closes)
        made = Manners(closes=plan.closes, arrives_in=dice.choice((0.001, 0.001, dice.uniform(0, 1))))
        if dice.random() < plan.slow:
            made.connects_in = dice.uniform(0, CONNECT * 1.05)
        if dice.random() < plan.shut:
            made.shut_for = dice.uniform(0, 2 * LEASE)
        if dice.random() < 0.15:
            made.answers_in = dice.choice((float("inf"), dice.uniform(0, ACK * 1.3), dice.uniform(0, 1)))
        if dice.random() < 0.05:
            made.code = "AR"
        return made

    def _committed(self, gateway: Gateway, work: Any, result: Any) -> None:
        """Start the faults that may happen between the claim of a message and its write."""
        plan, dice = self.plan, self.dice
        assert plan is not None
        if getattr(work, "func", None) is not messages.step or not result or self.scheduler.now > TROUBLE:
            return
        self._log(f"{gateway.loop.name} has {[one.control_id for one in result]} in hand")
        if dice.random() < plan.freezes:
            gateway.engine.frozen_until = self.scheduler.now + dice.uniform(0.2, 2.5) * LEASE
            self._log(f"{gateway.loop.name}: its database is frozen until {gateway.engine.frozen_until:.2f}")
        if dice.random() < plan.suspends:
            self._countdown[gateway.loop.name] = (dice.randint(0, 25), dice.uniform(0.2, 4) * LEASE)

    def _before(self, gateway: Gateway) -> None:
        name = gateway.loop.name
        if name not in self._countdown:
            return
        left, seconds = self._countdown.pop(name)
        if left:
            self._countdown[name] = left - 1, seconds
            return
        gateway.loop.sleep_now(seconds)
        self._log(f"{name} is suspended for {seconds:.2f} s")

    def _written(self, wire: Wire, data: bytes) -> None:
        name = wire.loop.name
        self._log(f"{name} writes {len(data)} bytes of {data.split(b'|')[9:10]}")
        holders = [one for (one,) in self.database.execute(_HOLDER, [self.database_time()])]
        if name not in holders:
            self._broken(f"{name} writes without a lease")
        assert self.plan is not None
        if self.plan.jumps and self.scheduler.now < TROUBLE and self.dice.random() < 0.1:
            seconds = self.dice.uniform(0.5, 6) * LEASE
            wire.loop.sleep_now(seconds)
            self.jumped.add(name)
            self._log(f"{name} is suspended for {seconds:.2f} s while it writes")

    # Checks

    def _look_now_and_then(self) -> None:
        for study_id in self.current:
            self._see(study_id)
        self.scheduler.at(self.scheduler.now + LOOK, self._look_now_and_then)

    def _arrived(self, arrived: Arrived) -> None:
        study_id, version = _said(arrived.payload)
        self._log(f"the receiver has version {version} of {study_id} from {arrived.sender}")
        if arrived.sender in self.jumped:
            self.excused[study_id] = self.scheduler.now + TOLD
        self._see(study_id)

    def _see(self, study_id: str) -> None:
        """Check that a certified version is the last that the receiver got."""
        if self.scheduler.now < self.excused.get(study_id, 0.0):
            return
        last = self.last_words().get(study_id)
        if last != self.current[study_id] and not self._is_open(study_id):
            self._broken(f"{study_id} is certified, and its last word is {last}")

    def _is_open(self, study_id: str) -> bool:
        found = _at_once(report_records(self.direct, [study_id]))[study_id].reports  # type: ignore[arg-type]
        return any(fate_of(key, one, fate_place(self.destination)).is_open for key, one in found.items())

    def _is_settled(self) -> bool:
        over = max((TROUBLE, *self.excused.values(), *(one.loop.asleep_until for one in self.gateways)))
        return self.scheduler.now > over + TOLD and not any(map(self._is_open, self.current))

    def _see_the_end(self) -> None:
        self.excused.clear()
        if self.broken:
            return
        for study_id in self.current:
            self._see(study_id)
            if self._is_open(study_id):
                messages_left = self.database.execute(
                    "SELECT number, control_id, state, reason FROM message"
                ).fetchall()
                self._broken(f"{study_id} is still open: {messages_left}")
        for gateway in self.gateways:
            if gateway.loop.errors:
                self._broken(f"{gateway.loop.name} told its loop: {gateway.loop.errors}")

    def last_words(self) -> dict[str, int]:
        """Last version that the receiver got of each study."""
        return dict(_said(one.payload) for one in self.network.arrived)

    def _log(self, text: str) -> None:
        self.events.append(f"{self.scheduler.now:8.3f} {text}")

    def _broken(self, text: str) -> None:
        told = "\n".join(self.events)
        self.broken.append(f"seed {self.seed}, {self.plan}: at {self.scheduler.now:.3f} {text}\n{told}")
        self.scheduler.is_halted = True


def _said(payload: bytes) -> tuple[str, int]:
    _, order, note, _ = payload.decode().split("\r")
    return order.split("|")[3], int(note.split("|")[3])


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits, and return its result."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")
