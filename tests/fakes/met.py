"""Studies and orders of one hospital that meet in a store: orders are written as the inbox writes them."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from typing import Any

from fakes.fhir_studies import report, snapshot
from fakes.hospital import AUTHORITIES, CITY, SITE, mrn, number
from fakes.store import rows
from fakes.taken_in import study_id, take

from gateway.ingest import Ingested, Pipeline
from gateway.runtime import clock
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Statement, Steps, ask, micros
from gateway.store.database.facts import Controls
from gateway.store.database.kept import kept
from gateway.store.orders.hospital import OrderReader, StoredVisit, add_visits, put_order
from gateway.store.orders.numbers import add_change, keys_of, lock_names, number_text, record_text, refresh_studies
from mappings.hospital.events import Visit
from mappings.hospital.groups import ResolvedChange
from mappings.hospital.known_order import KnownOrder
from mappings.model import Facts, HospitalMessageName

STUDY = study_id("1")
MESSAGE = HospitalMessageName("city-adt", "V1")
VISIT_NUMBER = number("V7", "CITYADT")
DECIDE = Statement(
    "INSERT INTO order_verdict (study_id, verdict, orders, reason, decided)"
    " VALUES (:study_id, :verdict, :orders, 'r', 5)"
)

_SENT = Statement(
    "INSERT INTO message (outbox, is_whole, is_draft, is_critical, priority, size, attempts, doubts, due, made,"
    " destination, study_id, report_id, kind, content_version, control_id, restates, filler_order_numbers, report_ids,"
    " patient_id, state, reason, ack, has_body) VALUES (1, 1, 0, 0, 0, 0, 0, 0, 0, :made, 'ehr', :study_id, 'r',"
    " 'signed', '1', 'c', '', '[]', '[]', '', 'delivered', '', '', 0)"
)


def matching(engine: Engine, **more: Any) -> Pipeline:
    """Return a pipeline that matches studies with the orders in the store."""
    return Pipeline(engine, SITE, UTC, orders=OrderReader(engine, AUTHORITIES, **more))


def pid(**changes: Any) -> dict[str, Any]:
    """Return the snapshot of Jane Doe at City, as `fakes.hospital` has her."""
    doe = {"facilityName": "City", "mrn": "4711", "patientName": "Jane Doe", "studyDate": "2026-05-20"}
    return snapshot(**{**doe, "studyTime": None, **changes})


def signed(text: str = "IMPRESSION: one.", digit: str = "3", **changes: Any) -> dict[str, Any]:
    at = "2026-05-21T08:00:00Z"
    given = {"reportPlainText": text, "snapshotMetadata": pid(**changes), "signedAt": at, "updatedAt": at}
    return report(digit, **given, createdAt="2026-05-20T12:00:00Z")


async def read(
    pipeline: Pipeline, accession: str = "A1", *, text: str = "IMPRESSION: one.", digit: str = "1", **changes: Any
) -> Ingested:
    """Ingest a signed study with that accession number; `changes` are of the snapshot."""
    one = signed(text, format(int(digit, 16) + 2, "x"), **changes)
    metadata = {"acc": accession} if accession else {}
    return await take(pipeline, one, digit=digit, metadata=metadata, createdAt="2026-05-20T12:00:00Z")


async def send(engine: Engine, order: KnownOrder, known: int | None = None) -> int:
    """Store an order, new or as another state of the known one, and request what that changes."""
    keys = sorted(set(keys_of(order, AUTHORITIES)))
    names = [*keys, *([] if known is None else [record_text(known)])]

    def work() -> Steps[int]:
        yield from locks.take(lock_names(names))
        stored = yield from put_order(known, order, keys, 5)
        yield from refresh_studies(names, 5)
        return stored

    return await engine.do(work)


async def merge(engine: Engine, old: str, new: str, held: str = "", system: str = "urn:oid:1.2.1") -> None:
    """Store that one patient number, of City if nothing else is said, gave way to another."""
    change = ResolvedChange(mrn(old, system), mrn(new, system))
    keys = [number_text(one) for one in change]

    def work() -> Steps[None]:
        yield from locks.take(lock_names(keys))
        yield from add_change(change, new, HospitalMessageName("city-adt", f"M{old}"), held, 5)
        yield from refresh_studies(keys, 5)

    await engine.do(work)


async def visit(engine: Engine, one: Visit, at: int, inbound: int = 1) -> None:
    """Store an event of the visit V7."""
    key = number_text(AUTHORITIES.number("visit", VISIT_NUMBER, CITY))

    def work() -> Steps[None]:
        yield from locks.take(lock_names([key]))
        yield from add_visits([(inbound, StoredVisit(key, at, one, MESSAGE))])
        yield from refresh_studies([key], 5)

    await engine.do(work)


async def decide(engine: Engine, verdict: str, *orders: int) -> None:
    await engine.do(lambda: ask(DECIDE, study_id=STUDY, verdict=verdict, orders=json.dumps(orders)))


async def mark_sent(engine: Engine, ago: timedelta = timedelta()) -> None:
    """Write that a message was made of the study."""
    made = micros(clock.now() - ago)
    await engine.do(lambda: ask(_SENT, study_id=STUDY, made=made))


async def carry_out(engine: Engine, pipeline: Pipeline) -> list[str]:
    """Carry out the requests to ingest studies again; return the studies."""
    controls, done = Controls(engine), []
    for one in await controls.open(99):
        await pipeline.refresh(one.argument)
        await controls.done(one.number)
        done.append(one.argument)
    return done


async def facts(engine: Engine, study: str = STUDY) -> Facts:
    """Return the facts with which a study was mapped last."""
    ((packed,),) = await rows(engine, "SELECT kept FROM study WHERE study_id = ?", study)
    return kept(bytes(packed)).facts


async def placers(engine: Engine, study: str = STUDY) -> list[str]:
    """Return the placer order numbers of the orders that a study answers."""
    return [one.placer.value if one.placer else "" for one in (await facts(engine, study)).orders]


async def match_of(engine: Engine, study: str = STUDY) -> tuple[str, str, list[int]]:
    """Return the stored match: verdict, reason, and numbers of the orders."""
    ((verdict, reason, orders),) = await rows(
        engine, "SELECT verdict, reason, orders FROM order_match WHERE study_id = ?", study
    )
    return verdict, reason, json.loads(orders)


async def issues(engine: Engine, study: str = STUDY) -> list[str]:
    """Return the codes of a study's issues that are about orders."""
    found = await rows(engine, "SELECT code FROM issue WHERE study_id = ? ORDER BY place", study)
    return [code for (code,) in found if code.startswith("order-") and code != "order-not-visible"]
