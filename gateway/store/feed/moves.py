"""Moves: what a study was before its reports were about somebody else, and what an operator said of it.

Carries out no clause of a standard; decision D13.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement
from gateway.store.studies.kept import Kept, kept

MOVE: Final = "move"  # why a lane, or a row, is held
MOVED: Final = "moved"  # the kind of a message that takes back what another patient was told of
# `outbox.is_move`: of a move; that an operator released, so that it is taken back first; or whose other chart is put
# right by hand
HELD: Final = 1
RELEASED: Final = 2
CORRECTED: Final = 3
# Of messages without those that were to take something back, and are put right by hand, or made anew
IS_OWED: Final = " AND NOT (kind = 'moved' AND reason IN ('chart-corrected', 'move'))"
KEEP_FORMER: Final = Statement(
    "INSERT INTO former (study_id, revision, kept) SELECT study_id, revision, kept FROM study"
    " WHERE study_id = :study_id"
)
_FORMER: Final = Statement("SELECT kept FROM former WHERE study_id = :study_id ORDER BY revision DESC")


async def formers(engine: Engine, study_id: str) -> list[Kept]:
    """What the study was before each of its moves, the last one first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [kept(packed) for (packed,) in await engine.fetch(_FORMER, study_id=study_id)]
