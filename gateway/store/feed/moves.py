"""Moves (a study's reports changed patient): reason codes of rows and messages, and the study as it was before a move.

Carries out no clause of a standard; decision D13.
Proved by tests/contract/test_identity_conflict.py and tests/faults/test_order_faults.py.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement
from gateway.store.studies.kept import Kept, kept

MOVE: Final = "move"  # reason of a held lane or row
# The same, since the hospital merged the number under which the receiver has the reports into another one (D48)
MERGE_MOVE: Final = "merge-move"
MOVED: Final = "moved"  # kind of a message that withdraws what was sent about another patient
# `outbox.is_move`: held for a move; released by an operator, to be withdrawn first; or released because the other
# chart is corrected by hand. Or no move: sent without its order, to be withdrawn as such and sent with it (D48). Or a
# move since a merge, which needs no operator; and one that waits for an operator, since the merge moves many reports.
# Or sent without its order as above, and released by an operator since a merge changed the number
HELD: Final = 1
RELEASED: Final = 2
CORRECTED: Final = 3
REFILED: Final = 4
MERGED: Final = 5
MERGE_HELD: Final = 6
REFILE_RELEASED: Final = 7
# Messages without withdrawals that were replaced, or made superfluous by a correction by hand
IS_OWED: Final = " AND NOT (kind = 'moved' AND reason IN ('chart-corrected', 'move'))"
KEEP_FORMER: Final = Statement(
    "INSERT INTO former (study_id, revision, kept) SELECT study_id, revision, kept FROM study"
    " WHERE study_id = :study_id"
)
_FORMER: Final = Statement("SELECT kept FROM former WHERE study_id = :study_id ORDER BY revision DESC")


async def formers(engine: Engine, study_id: str) -> list[Kept]:
    """Return the study as it was before each of its moves, the last one first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [kept(packed) for (packed,) in await engine.fetch(_FORMER, study_id=study_id)]
