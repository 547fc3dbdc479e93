"""Fill a store with messages of 2.6 kB, one a study, and measure how fast they are acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from fakes.fed import site

from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.feed.deliver.feed_journal import UNKEPT, FeedJournal
from gateway.routing import Destination, Filter, Mllp
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, Statement, Steps, ask_each
from gateway.store.feed.leases import Leases
from gateway.store.feed.outbox import ComposedStudy, NewMessage, store_composed
from mappings.profile import receiver as profile

SIZE = 2600
_STUDY = Statement(
    "INSERT INTO study (study_id, revision, is_external, has_signed, has_warnings, listed_digest, received_digest,"
    " received, kept, fetched, listed) VALUES (:study_id, 1, 0, 1, 0, '', '', :empty, :empty, 1, 1)"
    " ON CONFLICT DO NOTHING"
)
_LEFT = Statement("SELECT count(*) FROM message WHERE destination = :destination AND state IN ('queued', 'sending')")


def body(control_id: str) -> bytes:
    head = f"MSH|^~\\&|GW|A|EHR|B|20260105163014+0000||ORU^R01^ORU_R01|{control_id}|P|2.5.1\rPID|1\r"
    return (head + "OBX|1|TX|18748-4^Diagnostic imaging study^LN|1|" + "x" * (SIZE - len(head) - 48) + "\r").encode()


def destination(port: int, window: int = 1, name: str = "ehr") -> Destination:
    """Build the destination of the queued messages."""
    usual = profile("generic")
    made = {name: getattr(usual, name) for name in usual.__dataclass_fields__} | {"window": window}
    transport = Mllp("127.0.0.1", port)
    return Destination(
        name, "destination[0]", transport, type(usual)(**made), datetime(2020, 1, 1, tzinfo=UTC), Filter()
    )


def _message(number: int, control_id: str) -> NewMessage:
    return NewMessage(
        outbox=number,
        report_id=f"rep_{number}",
        kind="signed",
        content_version="v",
        control_id=control_id,
        restates=f"{number}/",
        filler_order_numbers=(f"F{number}",),
        report_ids=(f"rep_{number}",),
        patient_id="pat",
        is_whole=True,
        is_draft=False,
        is_critical=False,
        priority=1,
        signed=None,
        body=body(control_id),
    )


async def fill(engine: Engine, count: int, name: str = "ehr") -> None:
    """Queue so many messages for a destination."""
    lease = await Leases(engine, "bench", 0.0).take(name)
    assert lease is not None
    for begin in range(0, count, 500):
        numbers = range(begin, min(begin + 500, count))

        def work(numbers: range = numbers) -> Steps[None]:
            yield from ask_each(_STUDY, [{"study_id": f"stu_{number:032x}", "empty": b""} for number in numbers])
            for number in numbers:
                control_id = f"M{number:019d}"
                one = _message(number, control_id)
                yield from store_composed(lease, [ComposedStudy(f"stu_{number:032x}", 1, [], [one])], 1)

        await engine.do(work)


async def left(engine: Engine, name: str = "ehr") -> int:
    """Count the messages not yet acknowledged."""
    return int((await engine.fetch(_LEFT, destination=name))[0][0])


@asynccontextmanager
async def served(engine: Engine, one: Destination, folder: Path | None = None) -> AsyncIterator[None]:
    """Send to a destination while the block runs; with a folder, also write the feed journal there."""
    feed, metrics = Feed(), Metrics()
    kept = FeedJournal(engine, folder, [one.name], site().site_key, metrics) if folder else None
    making, leases = DueRenderer(engine, site(), one, metrics), Leases(engine, "two", feed.lease)
    holder = DestinationWorker(making, leases, feed, metrics, journal=kept or UNKEPT)
    async with alongside([holder.run(), *([kept.run()] if kept else [])]):
        yield
    if kept:
        await kept.close()


async def drained(engine: Engine, one: Destination, count: int) -> float:
    """Return messages a second, from the first acknowledgement to the last."""
    async with served(engine, one):
        begun, rest = time.perf_counter(), count
        first = 0
        while rest:
            await asyncio.sleep(0.02)
            rest = await left(engine, one.name)
            if not first and rest < count:
                first, begun = rest, time.perf_counter()
        return first / (time.perf_counter() - begun) if first else 0.0
