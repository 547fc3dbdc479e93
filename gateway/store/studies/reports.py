"""Read a stored report by its AutoScribe id, as a `Report` object; known_study.py reads the JSON that AutoScribe sent.

Carries out no clause of a standard. A signed report stands as it was signed, also when it is seen unsigned again (D16).
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement
from gateway.store.studies.kept import kept
from mappings.model import Report

STUDY_OF_REPORT: Final = Statement(
    "SELECT s.kept FROM report r JOIN study s ON s.study_id = r.study_id WHERE r.report_id = :report_id"
)


async def stored_report(engine: Engine, report_id: str) -> Report | None:
    """Return the report with that upstream id (`rep_…`); None if it is not stored or no longer part of its study."""
    rows = await engine.fetch(STUDY_OF_REPORT, report_id=report_id)
    if not rows:
        return None
    stored = await asyncio.to_thread(kept, rows[0][0])
    return next((one for one in stored.study.reports if one.report_id == report_id), None)
