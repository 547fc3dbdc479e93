"""Store the signed reports that AutoScribe cancelled, each an open item until an operator withdraws or leaves it.

Carries out no clause of a standard; decision D21. An ingest writes the items and ends those of reinstated reports. A
decision counts for the version of the report that it was made about: another version opens the item again.
Proved by tests/contract/test_cancelled_reports.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each
from gateway.store.database.facts import ASK, noted

# `withdrawing`: an operator withdrew it, and the study has not been ingested since. `open` and `withdrawing` are open
ItemState = Literal["open", "withdrawing", "withdrawn", "left"]
Decisions = Mapping[str, tuple[str, str]]
"""What was cancelled (`study`, `report`) and the state of the item, by report id."""
STILL_OPEN: Final = ("open", "withdrawing")
_COLUMNS: Final = "report_id, study_id, what, state, since, is_critical, version"
_OPEN: Final = Statement(
    f"SELECT {_COLUMNS} FROM cancelled_report WHERE state IN ('open', 'withdrawing')"  # noqa: S608 (constants)
    " ORDER BY since, report_id LIMIT :most"
)
_OF_REPORT: Final = Statement(f"SELECT {_COLUMNS} FROM cancelled_report WHERE report_id = :report_id")  # noqa: S608 (constants)
_OF_STUDIES: Final = Statement(
    f"SELECT {_COLUMNS} FROM cancelled_report WHERE study_id IN listed(:study_ids) ORDER BY report_id"  # noqa: S608 (constants)
)
_END: Final = Statement(
    "DELETE FROM cancelled_report WHERE study_id = :study_id AND report_id NOT IN listed(:report_ids)"
)
_IS_SAME: Final = (
    "cancelled_report.what = excluded.what AND (cancelled_report.version = excluded.version"
    " OR excluded.state = 'withdrawn')"
)
_PUT: Final = Statement(
    "INSERT INTO cancelled_report (report_id, study_id, what, version, state, is_critical, since)"  # noqa: S608 (constants)
    " VALUES (:report_id, :study_id, :what, :version, :state, :is_critical, :now) ON CONFLICT (report_id) DO UPDATE SET"
    f" since = CASE WHEN {_IS_SAME} THEN cancelled_report.since ELSE excluded.since END,"
    f" state = CASE WHEN {_IS_SAME} AND excluded.state = 'open' THEN cancelled_report.state ELSE excluded.state END,"
    " study_id = excluded.study_id, what = excluded.what, version = excluded.version,"
    " is_critical = excluded.is_critical"
)
_WITHDRAW: Final = Statement(
    "UPDATE cancelled_report SET state = 'withdrawing' WHERE report_id = :report_id AND version = :version"
    " AND state <> 'withdrawn' RETURNING report_id"
)
_LEAVE: Final = Statement(
    "UPDATE cancelled_report SET state = 'left' WHERE report_id = :report_id AND version = :version"
    " AND state = 'open' RETURNING report_id"
)
# An ingest that runs right now does not know the decision: the new revision makes it start again
_MOVE_ON: Final = Statement("UPDATE study SET revision = revision + 1 WHERE study_id = :study_id")


MOST_AN_HOUR: Final = 5  # studies that the site withdraws by itself: what is more waits for an operator
_HOUR: Final = 3_600_000_000
_BEGIN_COUNT: Final = Statement("INSERT INTO fact (name, value) VALUES ('withdrawals', '{}') ON CONFLICT DO NOTHING")
_LOCK_COUNT: Final = Statement("SELECT value FROM fact WHERE name = 'withdrawals' FOR UPDATE")
_COUNT: Final = Statement("UPDATE fact SET value = :value WHERE name = 'withdrawals'")


@dataclass(frozen=True, slots=True)
class CancelledItem:
    """Signed report that AutoScribe cancelled; `since` in microseconds, `version` a digest of its content.

    `what` was cancelled: its `study`, or the addendum itself (`report`).
    """

    report_id: str
    study_id: str
    what: str
    state: str
    since: int
    is_critical: bool
    version: str

    @property
    def number(self) -> int:
        """Number of this version of the report for an alert's cases; another version is another case."""
        text = f"{self.report_id} {self.version} {self.since}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    @property
    def is_open(self) -> bool:
        """True until an operator left it, or its withdrawal is decided for each destination."""
        return self.state in STILL_OPEN


class ItemChanged(Exception):
    """The report has changed since the operator saw it: nothing was decided."""


async def open_items(engine: Engine, most: int) -> list[CancelledItem]:
    """Return the items that are still open, the oldest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_item(row) for row in await engine.fetch(_OPEN, most=most)]


async def item_of(engine: Engine, report_id: str) -> CancelledItem | None:
    """Return the item of a report; None if AutoScribe did not cancel the report."""
    rows = await engine.fetch(_OF_REPORT, report_id=report_id)
    return _item(rows[0]) if rows else None


async def items_of_studies(engine: Engine, study_ids: Sequence[str]) -> list[CancelledItem]:
    """Return all items of these studies, whether decided or not."""
    return [_item(row) for row in await engine.fetch(_OF_STUDIES, study_ids=json.dumps(list(study_ids)))]


def put_items(study_id: str, items: Sequence[Mapping[str, Any]], known: Decisions, now: int) -> Steps[None]:
    """Store the items of an ingested study and end its others; `known` are those that the ingest read."""
    if known:
        yield from ask(_END, study_id=study_id, report_ids=json.dumps([one["report_id"] for one in items]))
    if items:
        yield from ask_each(_PUT, [{**one, "study_id": study_id, "now": now} for one in items])


def withdraw_cancelled(items: Sequence[CancelledItem], reason: str, now: int) -> Steps[None]:
    """Record that cancelled reports of a study are to be withdrawn; the service ingests it again and sends that.

    Raises:
        ItemChanged: one of them is another version by now, or is withdrawn already.
    """
    study_id = items[0].study_id
    yield from ask(_MOVE_ON, study_id=study_id)
    for one in items:
        if not (yield from ask(_WITHDRAW, report_id=one.report_id, version=one.version)):
            raise ItemChanged
    yield from ask(ASK, verb="refresh", argument=study_id, asked=now)
    yield from noted("feed-withdraw", " ".join([study_id, *(one.report_id for one in items)]), reason, now)


def withdrawn_of(noted: str, now: int) -> dict[str, int]:
    """Return the studies that the site withdrew within the last hour, with the instant; `noted` is the stored fact."""
    return {study_id: at for study_id, at in json.loads(noted).items() if at > now - _HOUR}


def count_withdrawal(study_id: str, now: int) -> Steps[bool]:
    """Count a study that the site withdraws by itself; return False if it is one too many within the hour."""
    yield from ask(_BEGIN_COUNT)
    rows = yield from ask(_LOCK_COUNT)
    noted = withdrawn_of(str(rows[0][0]), now)
    if study_id not in noted and len(noted) >= MOST_AN_HOUR:
        return False
    yield from ask(_COUNT, value=json.dumps({**noted, study_id: now}))
    return True


def leave_cancelled(item: CancelledItem, reason: str, now: int) -> Steps[None]:
    """Record that a cancelled report is left as it is: no withdrawal is sent.

    Raises:
        ItemChanged: it is another version by now, or no longer open.
    """
    if not (yield from ask(_LEAVE, report_id=item.report_id, version=item.version)):
        raise ItemChanged
    yield from noted("feed-leave-report", f"{item.study_id} {item.report_id}", reason, now)


def _item(row: Row) -> CancelledItem:
    report_id, study_id, what, state, since, is_critical, version = row
    return CancelledItem(
        str(report_id), str(study_id), str(what), str(state), int(since), bool(is_critical), str(version)
    )
