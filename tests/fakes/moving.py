"""A patient whose numbers are merged, and the chart of a receiver that follows no merge itself."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

from fakes.er7_reader import all_of, field
from fakes.fed import bodies, fed, site
from fakes.merging import merge

FACILITY = "Sandbox General Hospital"
SYSTEM = site().facility(FACILITY).mrn.system  # type: ignore[union-attr]
OLD, NEW, LAST = "SBXGEN-4711-0815", "SBXGEN-4711-0999", "SBXGEN-4711-1001"
HELD = "SELECT study_id, reason FROM outbox WHERE state = 'held' ORDER BY number"
PERSON = {"facilityName": FACILITY, "patientName": "Jane Doe", "dateOfBirth": "1970-01-01", "sex": "female"}


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


@asynccontextmanager
async def moving(engine, **more):
    """Serve a destination that wants merged reports moved; yield the feed and the receiver."""
    async with fed(engine, merge="move", on_conflict="hold", **more) as (feed, receiver), feed.serving():
        yield feed, receiver


async def sign(feed, mrn=OLD, **more):
    """Sign a report of a new study with this patient number, and ingest it."""
    signed = feed.account.sign_new(**{"critical": False, **more})
    feed.account.change_patient(signed.report_id, {**PERSON, "mrn": mrn})
    await feed.tell(signed.study_id)
    return signed


async def sent(feed, count, mrn=OLD):
    """Have reports of so many new studies delivered under this patient number."""
    signed = [await sign(feed, mrn) for _ in range(count)]
    await feed.all_delivered()
    return signed


async def merged(feed, studies, old=OLD, new=NEW):
    """Merge a number into another one, and ingest the studies again, as the application of a merge asks."""
    await merge(feed.engine, old, new, SYSTEM)
    for one in studies:
        await feed.pipeline.refresh(one.study_id)
