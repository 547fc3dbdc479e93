"""Erase studies on an operator's order: delete what describes the patient, keep the ledger's metadata. One transaction.

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17, erasure); decision D49. What was sent, when, and how it was
answered stays in the ledger by ids and codes, since receivers have it. Patients whom other studies describe too are
removed with their versions, and made anew from those studies.
Proved by tests/contract/test_erasing.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database import locks
from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each
from gateway.store.database.facts import ASK, noted
from gateway.store.database.kept import served_version
from gateway.store.database.locks import REVISIONS
from gateway.store.enrichment import UNKNOWN_KIND
from gateway.store.feed.messages import delete_attempts
from gateway.store.feed.states import ERASED
from gateway.store.orders.upkeep import HospitalErasure, OrdersToErase, erase_orders, orders_to_erase
from gateway.store.stored_reports import sweep
from gateway.store.studies.crawling import marked
from gateway.store.studies.write_versions import DROP_WORDS, MERGE_LATER

_STORED: Final = Statement("SELECT study_id FROM study WHERE study_id = :study_id")
_CLAIMING: Final = Statement("SELECT DISTINCT study_id FROM claim WHERE patient_id = :patient_id ORDER BY study_id")
_CLAIMED: Final = Statement("SELECT DISTINCT patient_id FROM claim WHERE study_id IN listed(:study_ids)")
# Studies held apart from these patients, on which no operator decided, or decided about other people
_UNDECIDED: Final = Statement(
    "SELECT DISTINCT c.study_id FROM conflict c WHERE c.patient_id IN listed(:patient_ids)"
    " AND c.study_id NOT IN listed(:study_ids) AND NOT EXISTS (SELECT 1 FROM verdict v"
    " WHERE v.patient_id = c.patient_id AND v.study_id = c.study_id AND v.reopened IS NULL) ORDER BY c.study_id"
)
_UIDS: Final = Statement(
    "SELECT DISTINCT study_instance_uid FROM study WHERE study_id IN listed(:study_ids)"
    " AND study_instance_uid IS NOT NULL"
)
_REPORTS: Final = Statement("SELECT report_id FROM report WHERE study_id IN listed(:study_ids)")
_OWNED: Final = Statement("SELECT number FROM resource WHERE owner IN listed(:study_ids)")
# Every version: a report may have been about another patient before
_SUBJECTS: Final = Statement(
    "SELECT v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
    " WHERE r.owner IN listed(:study_ids) AND r.type = 'DiagnosticReport'"
)
_ADDRESSED: Final = Statement("SELECT number FROM resource WHERE address IN listed(:addresses)")
_CLAIMED_STILL: Final = Statement(
    "SELECT patient_id, min(study_id) FROM claim WHERE patient_id IN listed(:patient_ids)"
    " AND study_id NOT IN listed(:study_ids) GROUP BY patient_id"
)
_PDFS: Final = Statement("SELECT report_id, generation FROM pdf WHERE study_id IN listed(:study_ids)")
_OF_RESOURCE: Final = (
    Statement("DELETE FROM term WHERE resource = :number"),
    Statement("DELETE FROM moment WHERE resource = :number"),
    Statement("DELETE FROM version WHERE resource = :number"),
    DROP_WORDS,
    Statement("DELETE FROM resource WHERE number = :number"),
)
_DROP_ENRICHMENT: Final = tuple(
    Statement(
        f"DELETE FROM {table} WHERE study_instance_uid IN listed(:uids) AND NOT EXISTS (SELECT 1 FROM study s"  # noqa: S608 (constants)
        f" WHERE s.study_instance_uid = {table}.study_instance_uid)"
    )
    for table in ("enrichment", "enrichment_answer")
)
# Reads the events of 30 days, for an act of an operator
_DROP_WEBHOOKS: Final = Statement("DELETE FROM webhook WHERE body LIKE :pattern")
# An event of a kind that nobody knows is kept whole, and may name the report or the UID alone
_DROP_UNKNOWN: Final = Statement("DELETE FROM webhook WHERE code = :code AND body LIKE :pattern ESCAPE '!'")
_END_CERTIFICATE_RUN: Final = Statement(
    "UPDATE certificate_run SET ended = :now, fault = 'studies were erased meanwhile' WHERE one = 1 AND ended IS NULL"
)
_DROP_CERTIFICATE: Final = Statement("DELETE FROM certificate WHERE document LIKE :pattern")
_DROP_REQUESTS: Final = Statement("DELETE FROM control WHERE done IS NULL AND argument IN listed(:study_ids)")
_OF_STUDIES: Final = tuple(
    Statement(f"DELETE FROM {table} WHERE study_id IN listed(:study_ids)")  # noqa: S608 (constants)
    for table in (
        *("pdf", "issue", "claim", "conflict", "verdict", "former", "report", "study", "to_read"),
        *("order_news", "study_key", "order_match", "order_verdict", "cancelled_report"),
    )
)
_CLOSE_ROWS: Final = Statement(
    "UPDATE outbox SET state = 'nothing', reason = :reason, settled = :now WHERE study_id IN listed(:study_ids)"
    " AND state IN ('waiting', 'held', 'planned', 'to_stop', 'unrouted') RETURNING number"
)
# Rows stay for the numbers of replays. A row that was sent no longer counts as sent, since the study is unknown now
_SETTLE_ROWS: Final = Statement(
    "UPDATE outbox SET state = 'nothing', reason = :reason WHERE study_id IN listed(:study_ids)"
)
# Nothing of them left the gateway, and after a readmission their MSH-10 must be free
_DROP_UNSENT: Final = Statement(
    "DELETE FROM message WHERE study_id IN listed(:study_ids) AND state IN ('queued', 'held') AND sent IS NULL"
    " AND doubts = 0 RETURNING number"
)
_CLOSE_MESSAGES: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = :reason, closed = :now WHERE study_id IN listed(:study_ids)"
    " AND state IN ('queued', 'indeterminate', 'held') RETURNING doubts"
)
_EMPTY_MESSAGES: Final = Statement(
    "UPDATE message SET has_body = 0, filler_order_numbers = '[]', restates = '', patient_id = '', told = '',"
    " reason = CASE WHEN state = 'dead_letter' THEN :reason ELSE reason END WHERE study_id IN listed(:study_ids)"
    " RETURNING number, state"
)
_DROP_BODY: Final = Statement("DELETE FROM message_body WHERE number = :number")
_IN_HAND: Final = Statement(
    "SELECT number FROM message WHERE study_id IN listed(:study_ids) AND state = 'sending' LIMIT 1"
)
_DROP_READ_BACKS: Final = Statement(
    "DELETE FROM read_back WHERE message IN (SELECT number FROM message WHERE study_id IN listed(:study_ids))"
)
_DROP_LANES: Final = Statement("DELETE FROM lane WHERE destination = :destination AND study_id IN listed(:study_ids)")
_DROP_NUMBERS: Final = Statement(
    "DELETE FROM sent_number WHERE destination = :destination AND study_id IN listed(:study_ids)"
)
_WILD: Final = re.compile("[!%_]")  # signs with a meaning in LIKE
_DESTINATIONS: Final = Statement("SELECT DISTINCT destination FROM outbox WHERE study_id IN listed(:study_ids)")


@dataclass(frozen=True, slots=True)
class ErasedCounts:
    """Numbers of the rows and objects that an erasure removes.

    `unsent` are messages and outbox rows that are cancelled. `in_doubt` are messages of them that may have arrived.
    `sent` are delivered messages whose bytes are removed. `made_anew` are patients whom other studies describe too.
    `orders` are those of hospitals, and `received` the messages of hospitals whose bytes are removed.
    """

    studies: int = 0
    reports: int = 0
    patients: int = 0
    made_anew: int = 0
    resources: int = 0
    pdfs: int = 0
    unsent: int = 0
    in_doubt: int = 0
    sent: int = 0
    orders: int = 0
    received: int = 0


class NotErased(Exception):
    """Signal that nothing was erased since it was a trial, with the `counts` of what would be erased."""

    def __init__(self, counts: ErasedCounts) -> None:
        self.counts = counts
        super().__init__("a trial")


class MessageInHand(Exception):
    """Error: a message of one of the studies is being sent at this moment, so nothing was erased."""


@dataclass(frozen=True, slots=True)
class ErasureOrder:
    """Order to erase studies: text for the audit, site key, and the instant in microseconds.

    `hospital` is what it concerns of hospitals; None where none ever sent anything.
    """

    study_ids: Sequence[str]
    about: str
    reason: str
    site_key: bytes
    now: int
    hospital: HospitalErasure | None = None

    @property
    def key(self) -> dict[str, str]:
        """Study ids of the order, as the value of the statements that concern all of them."""
        return {"study_ids": json.dumps(self.study_ids)}


async def is_stored(engine: Engine, study_id: str) -> bool:
    """True if the store has a study."""
    return bool(await engine.fetch(_STORED, study_id=study_id))


async def studies_claiming(engine: Engine, patient_id: str) -> list[str]:
    """Return the ids of the studies that describe a patient."""
    return [str(study_id) for (study_id,) in await engine.fetch(_CLAIMING, patient_id=patient_id)]


async def patients_claimed(engine: Engine, study_ids: Collection[str]) -> set[str]:
    """Return the ids of all patients whom these studies describe."""
    return {str(one) for (one,) in await engine.fetch(_CLAIMED, study_ids=json.dumps(list(study_ids)))}


async def undecided_conflicts(engine: Engine, patient_ids: Collection[str], study_ids: Collection[str]) -> list[str]:
    """Return other studies with an undecided identity conflict about these patients."""
    values = {"patient_ids": json.dumps(sorted(patient_ids)), "study_ids": json.dumps(list(study_ids))}
    return [str(study_id) for (study_id,) in await engine.fetch(_UNDECIDED, **values)]


def erase_studies(order: ErasureOrder, *, is_trial: bool) -> Steps[ErasedCounts]:
    """Erase the studies of an order, mark them as erased, and write the act to the audit; return what was erased.

    Raises:
        NotErased: it is a trial.
        MessageInHand: a message of one of the studies is being sent.
    """
    yield from locks.take_alone()
    found = yield from _orders_of(order)
    stored = yield from ask(REVISIONS, **order.key)
    reports = yield from ask(_REPORTS, **order.key)
    patients, made_anew, resources = yield from _drop_resources(order)
    pdfs = yield from ask(_PDFS, **order.key)
    uids = [uid for (uid,) in (yield from ask(_UIDS, **order.key))]
    for statement in (*_OF_STUDIES, _DROP_REQUESTS):
        yield from ask(statement, **order.key)
    report_ids = sorted({str(row[0]) for row in (*reports, *pdfs)})
    for report_id in report_ids:  # behind the rows of `pdf`: without them, a fetch under way writes nothing more
        yield from sweep(report_id, None)
    for statement in _DROP_ENRICHMENT:
        yield from ask(statement, uids=json.dumps(uids))
    yield from ask(_END_CERTIFICATE_RUN, now=order.now)  # before its certificates go: it stores no more of them
    for study_id in order.study_ids:
        yield from ask(_DROP_CERTIFICATE, pattern=f"%{study_id}%")
    yield from _drop_events(order, uids, report_ids)
    unsent, in_doubt, sent = yield from _close_feed(order)
    kept_pdfs = sum(generation is not None for _, generation in pdfs)
    counts = ErasedCounts(
        *(len(stored), len(reports), patients, len(made_anew), resources, kept_pdfs, unsent, in_doubt, sent),
        *(yield from _drop_orders(order, found)),
    )
    if is_trial:
        raise NotErased(counts)
    yield from ask_each(ASK, [{"verb": "rerender", "argument": one, "asked": order.now} for one in made_anew])
    yield from marked(order.study_ids, order.site_key, order.now)
    yield from noted("patients-erase", order.about, order.reason, order.now)
    return counts


def _orders_of(order: ErasureOrder) -> Steps[OrdersToErase | None]:
    """Return the hospitals' orders to erase; call this before the studies' matches with orders are deleted."""
    if order.hospital is None:
        return None
    return (yield from orders_to_erase(order.study_ids, order.hospital.numbers, order.hospital.authorities))


def _drop_orders(order: ErasureOrder, found: OrdersToErase | None) -> Steps[tuple[int, int]]:
    if order.hospital is None or found is None:
        return 0, 0
    return len(found.orders), (yield from erase_orders(found, order.hospital, order.now))


def _drop_events(order: ErasureOrder, uids: Sequence[str], report_ids: Sequence[str]) -> Steps[None]:
    for study_id in order.study_ids:
        yield from ask(_DROP_WEBHOOKS, pattern=f"%{study_id}%")
    quoted = [_WILD.sub(r"!\g<0>", json.dumps(uid)) for uid in uids]  # a UID may begin as another does
    for name in (*report_ids, *quoted):
        yield from ask(_DROP_UNKNOWN, code=UNKNOWN_KIND, pattern=f"%{name}%")


def _drop_resources(order: ErasureOrder) -> Steps[tuple[int, list[str], int]]:
    """Delete resources with versions and index; return counts of patients and resources, and other studies."""
    owned = yield from ask(_OWNED, **order.key)
    patient_ids = {str(one) for (one,) in (yield from ask(_CLAIMED, **order.key))}
    patient_ids |= _subjects((yield from ask(_SUBJECTS, **order.key)))
    addresses = json.dumps([f"Patient/{one}" for one in sorted(patient_ids)])
    shared = yield from ask(_ADDRESSED, addresses=addresses)
    numbers = [{"number": int(number)} for (number,) in (*owned, *shared)]
    for statement in _OF_RESOURCE:
        yield from ask_each(statement, numbers)
    yield from ask(MERGE_LATER)
    others = yield from ask(_CLAIMED_STILL, **order.key, patient_ids=json.dumps(sorted(patient_ids)))
    return len(patient_ids), sorted({str(study_id) for _, study_id in others}), len(numbers)


def _subjects(bodies: Sequence[Row]) -> set[str]:
    """Return the ids of the patients that these reports are about."""
    resources = (json.loads(served_version(*row)) for row in bodies)
    references = (one.get("subject", {}).get("reference", "") for one in resources)
    return {one.removeprefix("Patient/") for one in references if one.startswith("Patient/")}


def _close_feed(order: ErasureOrder) -> Steps[tuple[int, int, int]]:
    """Cancel unsent messages and delete the bytes of sent ones; return the counts: cancelled, in doubt, and emptied."""
    closing = {**order.key, "reason": ERASED, "now": order.now}
    rows = yield from ask(_CLOSE_ROWS, **closing)
    yield from ask(_SETTLE_ROWS, **order.key, reason=ERASED)
    yield from ask(_DROP_READ_BACKS, **order.key)
    dropped = yield from ask(_DROP_UNSENT, **order.key)
    closed = yield from ask(_CLOSE_MESSAGES, **closing)
    if (yield from ask(_IN_HAND, **order.key)):
        raise MessageInHand
    emptied = yield from ask(_EMPTY_MESSAGES, **order.key, reason=ERASED)
    numbers = [int(number) for number, *_ in (*dropped, *emptied)]
    yield from ask_each(_DROP_BODY, [{"number": number} for number in numbers])
    yield from delete_attempts(numbers)
    for (destination,) in (yield from ask(_DESTINATIONS, **order.key)):
        yield from ask(_DROP_LANES, destination=destination, **order.key)
        yield from ask(_DROP_NUMBERS, destination=destination, **order.key)
    doubtful = sum(int(doubts) > 0 for (doubts,) in closed)
    return len(rows) + len(dropped) + len(closed), doubtful, sum(state == "delivered" for _, state in emptied)
