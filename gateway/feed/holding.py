"""Table of the reasons for which reports are held, with the next command of each, and the facilities concerned.

HL7 v2.5.1 §2.9.2 (refused messages); decisions D11-D13, D32, D38, D49. Status, alerts and console show the same.
Proved by tests/gateway/feed/test_holding.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.feed.messages import IN_DOUBT, REFUSED
from gateway.store.feed.states import (
    AUTHORITY_UNKNOWN,
    CONFLICT_HELD,
    FOR_NOW,
    MAY_HAVE_BEEN_SENT,
    MERGE_MOVE,
    MOVE,
    MRN_UNREADABLE,
    NUMBER_MISSING,
    ORDER_AWAITED,
    ORDER_CANCELLED,
    RESTORED,
    VISTA_UNKNOWN,
)

SHOW: Final = "feed show {object} --at {name}"
_RELEASE: Final = "feed resume {name} --study {study} --dry-run"
# Reason of a held study or report -> the next command; `object` is the message that was refused, else the study
HELD: Final[dict[str, str]] = {
    # A message stopped the study: what the receiver answered stands beside it, word for word
    **dict.fromkeys((REFUSED, IN_DOUBT, "body-altered", "old-copy", "awaits-AA"), SHOW),
    FOR_NOW: _RELEASE,
    # A setting of the facility is missing
    **dict.fromkeys((AUTHORITY_UNKNOWN, MRN_UNREADABLE), "check-config --online"),
    # A value is missing, or the gateway failed: the fate and what was sent before say more
    **dict.fromkeys((*NUMBER_MISSING, *VISTA_UNKNOWN, "name-absent", "not-made"), SHOW),
    **dict.fromkeys(("report-absent", "addendum-without-original", "withdrawal-patient-unclear"), SHOW),
    CONFLICT_HELD: "identity list",
    **dict.fromkeys((ORDER_AWAITED, ORDER_CANCELLED), "orders show {study}"),
    # Somebody must decide: first what the decision would send
    **dict.fromkeys((MOVE, MERGE_MOVE, "former-unknown", RESTORED, MAY_HAVE_BEEN_SENT), _RELEASE),
}


def held_step(reason: str, name: str, study_id: str, control_id: str = "") -> str:
    """Return the next command for what is held at a destination; a broken `rule-…` of the receiver is shown."""
    return HELD.get(reason, SHOW).format(name=name, study=study_id, object=control_id or study_id)


async def facilities_of(engine: Engine, study_ids: Collection[str]) -> dict[str, str]:
    """Return the facilities that the reports of studies name, in quotes; a study whose reports name none is left out.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    if not study_ids:
        return {}
    from gateway.store import intake
    from gateway.store.database.kept import kept

    rows = await engine.fetch(intake.KEPT, study_ids=json.dumps(sorted(study_ids)))
    found = {str(row[0]): {one.snapshot.facility_name for one in kept(row[2]).study.reports} for row in rows}
    return {study: ", ".join(f'"{one}"' for one in sorted(filter(None, names))) for study, names in found.items()}
