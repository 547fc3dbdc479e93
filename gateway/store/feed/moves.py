"""Moves of a study's reports to another patient: which of them a merge makes at once, and which wait for somebody.

Carries out no clause of a standard; decision D13. A merge of patients moves the reports of a study at once or waits for
an operator.
Proved by tests/contract/test_moving_merges.py and tests/contract/test_identity_conflict.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

from gateway.store.database.engine import Row, Statement, Steps, Values, ask
from gateway.store.feed.states import MERGE_HELD, MERGED, MOVED

if TYPE_CHECKING:
    from mappings.life.changes import GaveWay

# Messages without withdrawals that were replaced, or made superfluous by a correction by hand
IS_OWED: Final = " AND NOT (kind = 'moved' AND reason IN ('chart-corrected', 'move'))"
KEEP_FORMER: Final = Statement(
    "INSERT INTO former (study_id, revision, kept) SELECT study_id, revision, kept FROM study"
    " WHERE study_id = :study_id"
)
MOVES: Final = frozenset({MERGED, MERGE_HELD})  # `is_move` of the rows that are decided here
MOST: Final = 5  # reports that one merge moves at one destination without an operator
# What a destination has or may have: of what was given up, messages that may have arrived (as in sent.py)
_MAY_BE_THERE: Final = (
    "(m.state NOT IN ('dead_letter', 'superseded', 'recorded') OR m.state = 'dead_letter' AND m.kind <> 'moved'"
    " AND m.sent IS NOT NULL AND (m.doubts > 0 OR m.reason = 'move'))"
)
# Studies that describe a patient who gave way, with the reports that the destination has of them under an old number
_TOLD: Final = Statement(
    "SELECT DISTINCT m.study_id, m.report_ids FROM claim c JOIN message m ON m.destination = :destination"  # noqa: S608 (constants)
    " AND m.study_id = c.study_id WHERE c.patient_id IN listed(:patient_ids)"
    f" AND m.patient_id NOT IN listed(:survivor_ids) AND m.kind <> 'moved' AND {_MAY_BE_THERE}"
)
_OF_STUDY: Final = Statement(
    "SELECT m.kind, m.patient_id, m.is_whole, m.filler_order_numbers, m.report_ids FROM message m"  # noqa: S608 (constants)
    f" WHERE m.destination = :destination AND m.study_id = :study_id AND {_MAY_BE_THERE} ORDER BY m.number"
)


def decided_moves(causes: Sequence[Values], given: Mapping[str, GaveWay]) -> Steps[list[Values]]:
    """Complete outbox rows of moved studies: leave out moves with nothing to move, and hold those an operator decides.

    A row that moves a report since a merge is left out where the destination has nothing under the old number, or not
    any more: a merge that was in doubt for a while is known anew. It waits for an operator where the merge would move
    too many reports, or where the row says so.
    """
    moving = {(row["study_id"], row["destination"]) for row in causes if row["is_move"] in MOVES}
    codes: dict[tuple[str, str], int] = {}
    for study_id, name in sorted(moving):
        told = yield from _told(name, given[study_id])
        is_told = any(str(one) == study_id for one, _ in told)
        if is_told and (yield from _stands(name, study_id, given[study_id])):
            reports = {report_id for _, listed in told for report_id in json.loads(listed)}
            codes[study_id, name] = MERGE_HELD if len(reports) > MOST else MERGED
    decided: list[Values] = []
    for row in causes:
        if row["is_move"] not in MOVES:
            decided.append(row)
        elif code := codes.get((row["study_id"], row["destination"])):
            decided.append({**row, "is_move": code if row["is_move"] == MERGED else MERGE_HELD})
    return decided


def _told(name: str, given: GaveWay) -> Steps[list[Row]]:
    patient_ids, survivor_ids = json.dumps(sorted(given.patient_ids)), json.dumps(sorted(given.survivor_ids))
    return (yield from ask(_TOLD, destination=name, patient_ids=patient_ids, survivor_ids=survivor_ids))


def _stands(name: str, study_id: str, given: GaveWay) -> Steps[bool]:
    """True if the destination still has a report under an old number: no message withdrew or replaced it since.

    A report that a withdrawal does not name counts as standing: it then waits for an operator, or moves once more.
    """
    there: dict[tuple[str, str], str] = {}  # filler order number and report -> the patient of the last message
    rows = yield from ask(_OF_STUDY, destination=name, study_id=study_id)
    for kind, patient_id, is_whole, numbers, report_ids in rows:
        listed = json.loads(numbers)
        places = list(product(listed, json.loads(report_ids) or [""]))
        ends = {one for one in there if one in places or (kind != MOVED and is_whole and one[0] in listed)}
        there = {place: whose for place, whose in there.items() if place not in ends}
        there |= {} if kind == MOVED else dict.fromkeys(places, str(patient_id))
    about = {*given.report_ids, ""}
    return any(place[1] in about and whose not in given.survivor_ids for place, whose in there.items())
