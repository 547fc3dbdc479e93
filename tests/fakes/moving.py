"""A patient whose numbers are merged, and a receiver, told step by step: `sign; merge; correct` are steps of `Ward`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

from fakes.er7_reader import all_of, field
from fakes.fed import Fed, bodies, fed, site
from fakes.in_force import plan_applied
from fakes.merging import knowing, merge
from fakes.stated_orders import ORDER
from fakes.store import rows

from gateway.feed.loops import SettingsWatch
from gateway.feed.operator.pausing import close
from gateway.ingest import map_study
from gateway.routing import Routes
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, Statement, ask
from gateway.store.feed.leases import Leases
from gateway.store.feed.restoring import JournaledMessage, restore_lane
from gateway.store.orders.numbers import changes_of, let_go
from mappings.hospital.authorities import HospitalNumber
from mappings.patient.identifiers import keyed_patient_id, mrn_key

FACILITY = "Sandbox General Hospital"
SYSTEM = site().facility(FACILITY).mrn.system  # type: ignore[union-attr]
OLD, NEW, LAST, OTHER = "SBXGEN-4711-0815", "SBXGEN-4711-0999", "SBXGEN-4711-1001", "SBXGEN-4712-0001"
NUMBERS = {"old": OLD, "new": NEW, "last": LAST, "other": OTHER, "lower": NEW.lower()}
HELD = "SELECT study_id, reason FROM outbox WHERE state = 'held' ORDER BY number"
PERSON = {"facilityName": FACILITY, "patientName": "Jane Doe", "dateOfBirth": "1970-01-01", "sex": "female"}
SOMEBODY_ELSE = {"mrn": OTHER, "patientName": "Rick Roe", "dateOfBirth": "1931-01-31", "sex": "male"}
# Work that goes on by itself: in a lane that is held, or of a paused destination, nothing is sent
GOES_ON = """SELECT state FROM outbox WHERE state = 'waiting'
    UNION ALL SELECT outcome FROM order_news WHERE outcome = 'open' UNION ALL
    SELECT m.state FROM message m JOIN destination d ON d.name = m.destination
    LEFT JOIN lane l ON l.destination = m.destination AND l.study_id = m.study_id
    WHERE m.state IN ('queued', 'sending', 'indeterminate') AND d.paused = '' AND COALESCE(l.reason, '') = ''"""


def pat(mrn: str) -> str:
    """Return the id of the Patient with this number."""
    return keyed_patient_id(SYSTEM, mrn, site())


def number(body: bytes) -> str:
    """Return the patient number in PID-3."""
    return field(body, "PID-3").partition("^")[0]


def told(receiver: Any) -> list[tuple[str, str]]:
    """Return the patient number of each message, and the OBX-11 of its texts."""
    return [(number(one), "".join(sorted({row[11] for row in all_of(one, "OBX")}))) for one in bodies(receiver)]


def chart(receiver: Any) -> list[tuple[str, str]]:
    """Return what the receiver shows: order number and patient number of each report that stands."""
    shown = {
        (field(body, "OBR-3"), mrn): codes != "W"
        for body, (mrn, codes) in zip(bodies(receiver), told(receiver), strict=True)
    }
    return sorted(key for key, stands in shown.items() if stands)


class Ward:
    """Reports of one person under several numbers; each step of a script is a method here, with its words."""

    def __init__(self, feed: Fed, receivers: Any) -> None:
        self.feed, self.engine = feed, feed.engine
        self.receivers = receivers if isinstance(receivers, list) else [receivers]
        self.receiver = self.receivers[0]
        self.signed: list[tuple[Any, str]] = []
        self.orders: list[Any] = []
        self._service = AsyncExitStack()
        self._starts = 0
        self._before = self._now = (0, 0)

    async def does(self, script: str) -> None:
        """Do the steps of a script one after the other, each once the one before it has had all its effects."""
        for step in script.split("; "):
            word, *more = step.split()
            await getattr(self, word)(*more)
            if word not in ("held", "unchanged"):
                await self.quiet()
                made = await rows(self.engine, "SELECT count(*) FROM outbox")
                self._before, self._now = self._now, (len(bodies(self.receiver)), int(made[0][0]))

    async def quiet(self) -> None:
        """Wait until nothing goes on by itself."""
        async with asyncio.timeout(60):
            while self._starts and await rows(self.engine, GOES_ON):
                await asyncio.sleep(0.01)

    def lanes(self) -> list[str]:
        """Return what was told of each order number: patient number, OBX-11, and the order or a new text if any."""
        names = {value: name for name, value in NUMBERS.items()}
        found: dict[str, list[str]] = {}
        for body, (mrn, codes) in zip(bodies(self.receiver), told(self.receiver), strict=True):
            order = field(body, "OBR-2").partition("^")[0]
            is_new = b"Another text" in body and codes != "W"
            words = [names.get(mrn, mrn), codes, *[order] * bool(order), *["corrected"] * is_new]
            found.setdefault(field(body, "OBR-3"), []).append(" ".join(words))
        return sorted(", ".join(one) for one in found.values())

    # What AutoScribe says

    async def sign(self, mrn: str = "old", count: str = "1", *, critical: bool = False, **said: str) -> None:
        """Sign reports of new studies under this number."""
        for _ in range(int(count)):
            signed = self.feed.account.sign_new(critical=critical)
            self.feed.account.change_patient(signed.report_id, {**PERSON, "mrn": NUMBERS[mrn], **said})
            self.signed.append((signed, mrn))
            await self.feed.tell(signed.study_id)

    async def correct(self, count: str = "99") -> None:
        """Correct the reports, or only the first ones."""
        for one, _ in self.signed[: int(count)]:
            self.feed.account.change_text(one.report_id, "IMPRESSION: Another text.")
            await self.feed.tell(one.study_id)

    async def add(self) -> None:
        """Sign an addendum to the first report."""
        one, mrn = self.signed[0]
        added = self.feed.account.sign(self.feed.account.open_addendum(one.report_id))
        self.feed.account.change_patient(added.report_id, {**PERSON, "mrn": NUMBERS[mrn]})
        await self.feed.tell(one.study_id)

    async def say(self, mrn: str) -> None:
        """Say another number of the first report's patient; of somebody else if it is `other`."""
        said = SOMEBODY_ELSE if mrn == "other" else {**PERSON, "mrn": NUMBERS[mrn]}
        self.feed.account.change_patient(self.signed[0][0].report_id, said)
        await self.feed.tell(self.signed[0][0].study_id)

    # What the hospital says

    async def merge(self, old: str = "old", new: str = "new") -> None:
        """Merge a number into another one, and ingest the studies again, as the application of a merge asks."""
        await self.record(old, new)
        await self.refresh()

    async def record(self, old: str = "old", new: str = "new", held: str = "") -> None:
        """Store a merge, or that it is held for a reason, and ingest nothing."""
        await merge(self.engine, NUMBERS[old], NUMBERS[new], SYSTEM, held=held)

    async def doubt(self) -> None:
        """Hold a second survivor of the old number."""
        await self.record("old", "last", "merge-second-survivor")
        await self.refresh()

    async def settle(self) -> None:
        """Set the second survivor aside."""
        numbers = [HospitalNumber("patient", SYSTEM, "MR", mrn_key(OLD))]
        held = [one for one in await changes_of(self.engine, numbers) if one.held]
        await self.engine.do(lambda: let_go(held, inbound=0))
        await self.refresh()

    async def order(self, when: str = "now") -> None:
        """Let every study answer an order, from its next ingest on if `later`, or none any more if `gone`."""
        self.orders[:] = [] if when == "gone" else [ORDER]
        if when == "now":
            await self.refresh()

    async def refresh(self) -> None:
        """Ingest all studies again."""
        for one, _ in self.signed:
            await self.feed.pipeline.refresh(one.study_id)

    # What operators and receivers do

    async def release(self, *corrected: str) -> None:
        """Release all studies; `corrected`: the chart was corrected by hand."""
        for one, _ in self.signed:
            await self.feed.release(one.study_id, is_corrected=bool(corrected))

    async def pause(self) -> None:
        await self.feed.pause()

    async def resume(self) -> None:
        await self.feed.resume()

    async def refuse(self) -> None:
        self.receiver.ack = "ae"

    async def accept(self) -> None:
        self.receiver.ack = "aa"

    async def start(self) -> None:
        """Start the service."""
        self._starts += 1
        await self._service.enter_async_context(self.feed.serving(f"service {self._starts}"))

    async def stop(self) -> None:
        """Stop the service."""
        await self._service.aclose()
        self._starts = 0

    async def restart(self, *changes: str) -> None:
        """Start the service anew with other settings of its destination."""
        await self.stop()
        await self.set(*changes)
        await self.start()

    async def set(self, *changes: str) -> None:
        """Change settings of the destination."""
        self.feed.restart(self.feed.settings or site(), **dict(one.split("=") for one in changes))

    async def disable(self) -> None:
        """Stop, and let the service run with `enabled = false` in the table, as long as one look at the settings."""
        await self.stop()
        self.feed.restart(self.feed.settings or site(), is_enabled=False)
        leases = Leases(self.engine, "watch", 6.0)
        await SettingsWatch(self.engine, Routes(tuple(self.feed.destinations)), Feed(), Metrics(), leases).once()

    async def enable(self) -> None:
        """Start with `enabled = true` in the table, and apply the plan of it."""
        self.feed.restart(self.feed.settings or site(), is_enabled=True)
        await plan_applied(self.engine, self.feed.destinations[0])
        await self.start()

    async def retire(self) -> None:
        """Retire the destination."""
        await close(self.engine, "ehr", "gone")

    async def give_up(self, doubts: str) -> None:
        """Give the message up; it may have arrived if there are doubts."""
        sql = "UPDATE message SET state = 'dead_letter', reason = 'retired-in-doubt', doubts = :doubts"
        await self.engine.do(lambda: ask(Statement(sql), doubts=int(doubts)))

    async def restore(self, *moved: str) -> None:
        """Replay the journal of the one message, and of its move if `moved`, as after a restore."""
        columns = "control_id, study_id, report_id, patient_id, restates, body_hash, told, filler_order_numbers"
        [(*plain, numbers)] = await rows(self.engine, f"SELECT {columns} FROM message")
        told: dict[str, Any] = dict(zip(columns.split(", "), plain, strict=False))
        told["numbers"] = tuple(json.loads(str(numbers)))
        kind: dict[str, Any] = {
            "destination": "ehr",
            "kind": "signed",
            "is_whole": True,
            "is_critical": False,
            "signed": 1,
        }
        end: dict[str, Any] = {
            "state": "delivered",
            "reason": "",
            "ack": "AA",
            "committed": None,
            "accepted": 11,
            "holds": "",
        }
        first = JournaledMessage(report_ids=(told["report_id"],), at=10, **kind, **told, **end)
        away = f"{first.restates}/{first.patient_id}"
        more = (
            replace(first, control_id="W", kind="moved", restates=away, told="", at=12),
            replace(first, control_id="C", kind="patient_changed", patient_id=pat(NEW), at=14),
        )
        await self.engine.do(partial(restore_lane, [first, *(more if moved else ())], 1_000))

    # What is seen

    async def held(self, *reasons: str) -> None:
        """See that rows wait for these reasons, or so many for one, and that the last step sent nothing."""
        expected = list(reasons[:1]) * int(reasons[1]) if reasons[1:] and reasons[1].isdigit() else list(reasons)
        assert [str(why) for _, why in await rows(self.engine, HELD)] == expected
        assert self._now[0] == self._before[0]

    async def unchanged(self) -> None:
        """See that the last step queued and sent nothing."""
        assert self._now == self._before

    async def lane(self, *reason: str) -> None:
        """See for what reason the first study's lane is held; without a reason that none is."""
        found = [(str(one), str(why)) for one, why in await rows(self.engine, "SELECT study_id, reason FROM lane")]
        assert found == [(self.signed[0][0].study_id, one) for one in reason]

    async def outbox(self, *states: str) -> None:
        """See the states of the outbox."""
        found = await rows(self.engine, "SELECT state FROM outbox ORDER BY number")
        assert [str(state) for (state,) in found] == list(states)

    async def messages(self, *states: str) -> None:
        """See the states of the messages."""
        assert await self.feed.states() == list(states)


@contextmanager
def matching(made: Ward) -> Iterator[None]:
    """Let ingests know the merges in the store, and find the orders that a ward gives them."""
    meet = map_study.meet_orders  # type: ignore[attr-defined]

    def met(*about: Any) -> Any:
        facts, match = meet(*about)
        return replace(facts, orders=tuple(made.orders), order_reason="" if made.orders else "no-order"), match

    with knowing(site()), patch.object(map_study, "meet_orders", met):
        yield


@asynccontextmanager
async def ward(engine: Engine, *args: Any, **more: Any) -> AsyncIterator[Ward]:
    """Serve a destination with these settings."""
    async with fed(engine, *args, **more) as (feed, receivers):
        made = Ward(feed, receivers)
        with matching(made):
            await made.start()
            try:
                yield made
            finally:
                await made.stop()
