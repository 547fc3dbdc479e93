"""Store webhook events and order identifiers from AutoScribe, and the patient numbers that the gateway answered to it.

AutoScribe REST API, webhooks; decisions D18, D48. A number that AutoScribe has from the gateway is no evidence when it
comes back.
Proved by tests/contract/test_inbox.py and tests/contract/test_told.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.index.keys import bounded
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Statement, Steps, ask, ask_each, micros, storable, uid_key
from gateway.store.database.facts import ASK

_TELL: Final = Statement(
    "INSERT INTO enrichment_answer (study_instance_uid, number, is_own, answered)"
    " VALUES (:study_instance_uid, :number, :is_own, :answered) ON CONFLICT (study_instance_uid, number) DO UPDATE"
    " SET is_own = enrichment_answer.is_own * excluded.is_own, answered = excluded.answered"
)
_TOLD: Final = Statement(
    "SELECT number FROM enrichment_answer WHERE study_instance_uid = :study_instance_uid AND is_own = 0"
)
_SAID: Final = Statement(
    "SELECT accession_number, patient_id FROM enrichment WHERE study_instance_uid = :study_instance_uid"
)


async def note_told(
    engine: Engine, study_instance_uid: str, numbers: Collection[str], beyond: Collection[str], at: datetime
) -> None:
    """Store the patient numbers of an answer before it is given; AutoScribe did not have those in `beyond` before.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    uid, instant = uid_key(study_instance_uid), micros(at)
    rows = [
        {"study_instance_uid": uid, "number": storable(one), "is_own": int(one not in beyond), "answered": instant}
        for one in sorted(numbers)
    ]

    def work() -> Steps[None]:
        yield from ask_each(_TELL, rows)

    await engine.do(work)


async def told_numbers(engine: Engine, study_instance_uid: str) -> frozenset[str]:
    """Return the patient numbers of a study (by UID) that AutoScribe has only from the gateway's answers.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_TOLD, study_instance_uid=uid_key(study_instance_uid))
    return frozenset(str(number) for (number,) in rows)


async def said_numbers(engine: Engine, study_instance_uid: str) -> tuple[str, str]:
    """Return accession number and patient id that AutoScribe read from the study's images; empty if unknown.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_SAID, study_instance_uid=uid_key(study_instance_uid))
    accession_number, patient_id = rows[0] if rows else ("", "")
    return str(accession_number or ""), str(patient_id or "")


_RECORD: Final = Statement(
    "INSERT INTO webhook (webhook_id, event_id, kind, body, received, state, due, attempts, code)"
    " VALUES (:webhook_id, :event_id, :kind, :body, :received, :state, :received, 0, :code)"
    " ON CONFLICT DO NOTHING RETURNING webhook_id"
)
_WAITING: Final = {"state": "waiting", "code": ""}
UNKNOWN_KIND: Final = "unknown-kind"
_ASIDE: Final = {"state": "done", "code": UNKNOWN_KIND}
_DUE: Final = Statement(
    "SELECT webhook_id, body, attempts FROM webhook WHERE state = 'waiting' AND due <= :now ORDER BY due LIMIT :most"
)
_DONE: Final = Statement("UPDATE webhook SET state = 'done', code = :code WHERE webhook_id = :webhook_id")
_AGAIN: Final = Statement(
    "UPDATE webhook SET due = :due, code = :code, attempts = attempts + 1"
    " WHERE webhook_id = :webhook_id AND state = 'waiting'"
)
_FORGET: Final = Statement("DELETE FROM webhook WHERE state = 'done' AND due < :before")
_KEEP: Final = Statement(
    "INSERT INTO enrichment (study_instance_uid, accession_number, patient_id, kept)"
    " VALUES (:study_instance_uid, :accession_number, :patient_id, :kept) ON CONFLICT (study_instance_uid) DO UPDATE"
    " SET accession_number = coalesce(excluded.accession_number, enrichment.accession_number),"
    " patient_id = coalesce(excluded.patient_id, enrichment.patient_id), kept = excluded.kept"
    " WHERE enrichment.kept <= excluded.kept"
)
_STUDIES: Final = Statement("SELECT study_id FROM study WHERE study_instance_uid = :study_instance_uid")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Stored `report.delivered` event that is not processed yet: the ids in `body`, and the number of `attempts`.

    `body` has `reportId`, `studyId` and, if known, `studyInstanceUid`.
    """

    webhook_id: str
    body: Mapping[str, Any]
    attempts: int


class StoredWebhooks:
    """Durable queue of webhook deliveries until they are processed; their ids are kept for at least another week."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def record(
        self, webhook_id: str, event_id: str, kind: str, body: Mapping[str, Any], received: datetime
    ) -> bool:
        """Store a delivery to process at once; it is on disk when this returns.

        Return False, and change nothing, if its webhook id or its event id was stored before (a replay). The caller may
        be cancelled while it waits: the delivery is then stored or not, and the sender repeats it.
        """
        return await self._kept(_WAITING, _ids(webhook_id, event_id), kind, body, received)

    async def set_aside(
        self, webhook_id: str, event_id: str, kind: str, body: Mapping[str, Any], received: datetime
    ) -> bool:
        """Store a delivery of an unknown kind for a person to look at; it is never processed. Otherwise as `record`."""
        return await self._kept(_ASIDE, _ids(webhook_id, event_id), kind, body, received)

    async def _kept(
        self, how: dict[str, str], ids: dict[str, str], kind: str, body: Mapping[str, Any], received: datetime
    ) -> bool:
        values = {**how, **ids, "kind": storable(kind), "body": json.dumps(dict(body))}
        return bool(await self._engine.do(lambda: ask(_RECORD, **values, received=micros(received))))

    async def due(self, now: datetime, most: int) -> list[StoredEvent]:
        """Return deliveries that are due and not yet processed, the longest due first."""
        rows = await self._engine.fetch(_DUE, now=micros(now), most=most)
        return [StoredEvent(str(webhook_id), json.loads(body), int(attempts)) for webhook_id, body, attempts in rows]

    async def done(self, webhook_id: str, code: str = "") -> None:
        """Mark a delivery as processed, or as given up with a code. A second call is no error."""
        await self._engine.do(lambda: ask(_DONE, webhook_id=webhook_id, code=code))

    async def again(self, webhook_id: str, at: datetime, code: str) -> None:
        """Schedule another attempt at a delivery, with the code of the failure, and increase its number of attempts."""
        await self._engine.do(lambda: ask(_AGAIN, webhook_id=webhook_id, due=micros(at), code=code))

    async def forget(self, before: datetime) -> None:
        """Delete processed deliveries that were due before this instant."""
        await self._engine.do(lambda: ask(_FORGET, before=micros(before)))


class StoredEnrichments:
    """Store of order identifiers by study UID; a stored study is refreshed when its identifiers change."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def keep(
        self, study_instance_uid: str, accession_number: str | None, patient_id: str | None, at: datetime
    ) -> None:
        """Store order identifiers with their signing time, unless later ones are stored; None leaves a stored value."""
        uid = uid_key(study_instance_uid)
        values = {"accession_number": _said(accession_number), "patient_id": _said(patient_id), "kept": micros(at)}

        def work() -> Steps[None]:
            # The study is either found below, or its ingest reads these identifiers later
            yield from locks.take([locks.uid(uid)])
            yield from ask(_KEEP, study_instance_uid=uid, **values)
            rows = yield from ask(_STUDIES, study_instance_uid=uid)
            for (study_id,) in rows:
                yield from ask(ASK, verb="refresh", argument=str(study_id), asked=micros(at))

        await self._engine.do(work)


def _ids(webhook_id: str, event_id: str) -> dict[str, str]:
    return {"webhook_id": _id(webhook_id), "event_id": _id(event_id)}


def _id(text: str) -> str:
    return bounded(storable(text))


def _said(text: str | None) -> str | None:
    return None if text is None else storable(text)
