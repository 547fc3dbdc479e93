"""Decide, as a study is stored, if a merge of patients moves its reports at once or waits for an operator.

HL7 v2.5.1 §3.3.40 (A40), decisions D13, D48. A wrong merge must not rewrite the whole history of a patient unasked.
What a merge would move is counted by what was sent: it does not matter which study is ingested first, by which process.
Proved by tests/contract/test_moving_merges.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from gateway.store.database.statements import Row, Statement, Steps, Values, ask
from gateway.store.feed.moves import MERGE_HELD, MERGED

if TYPE_CHECKING:
    from mappings.life.gave_way import GaveWay

MOST: Final = 5  # reports that one merge moves at one destination without an operator
# Studies that describe a patient who gave way, with the reports that the destination has of them under an old number
_TOLD: Final = Statement(
    "SELECT DISTINCT m.study_id, m.report_ids FROM claim c JOIN message m ON m.destination = :destination"
    " AND m.study_id = c.study_id WHERE c.patient_id IN listed(:patient_ids)"
    " AND m.patient_id NOT IN listed(:survivor_ids) AND m.kind <> 'moved'"
    " AND m.state NOT IN ('dead_letter', 'superseded', 'recorded')"
)


def decided_moves(causes: Sequence[Values], given: Mapping[str, GaveWay]) -> Steps[list[Values]]:
    """Return outbox rows as they are to be stored, after the claims of their studies; `given` is by study.

    A row that moves a report since a merge is left out where the destination has nothing under the old number. It waits
    for an operator where the merge would move too many reports.
    """
    moving = {(row["study_id"], row["destination"]) for row in causes if row["is_move"] == MERGED}
    codes: dict[tuple[str, str], int] = {}
    for study_id, name in sorted(moving):
        told = yield from _told(name, given[study_id])
        if any(str(one) == study_id for one, _ in told):
            reports = {report_id for _, listed in told for report_id in json.loads(listed)}
            codes[study_id, name] = MERGE_HELD if len(reports) > MOST else MERGED
    decided: list[Values] = []
    for row in causes:
        if row["is_move"] != MERGED:
            decided.append(row)
        elif code := codes.get((row["study_id"], row["destination"])):
            decided.append({**row, "is_move": code})
    return decided


def _told(name: str, given: GaveWay) -> Steps[list[Row]]:
    patient_ids, survivor_ids = json.dumps(sorted(given.patient_ids)), json.dumps(sorted(given.survivor_ids))
    return (yield from ask(_TOLD, destination=name, patient_ids=patient_ids, survivor_ids=survivor_ids))
