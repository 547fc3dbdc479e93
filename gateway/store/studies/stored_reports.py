"""Read a stored report, and the study around it as it was rendered.

https://hl7.org/fhir/R4/diagnosticreport.html.
Proved by tests/gateway/fhir_api/operations/test_trace.py and tests/gateway/store/studies/test_reports.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.store.database.engine import Engine, Statement
from gateway.store.database.kept import Kept, kept, unpacked
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


_OF_REPORT: Final = Statement(
    "SELECT s.kept, s.received, s.study_id FROM report r JOIN study s ON s.study_id = r.study_id"
    " WHERE r.report_id = :report_id"
)


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """Study and one of its reports, by their upstream ids; packed, as it is stored."""

    study_id: str
    report_id: str
    packed: bytes
    received: bytes

    def kept(self) -> Kept:
        """Return the mapped study, and the facts that it was mapped with."""
        return kept(self.packed)

    def document(self) -> dict[str, Any]:
        """Return AutoScribe's own JSON: the Study with its `reports` and `users`."""
        received = unpacked(self.received)
        reports = received["reports"]
        rows = reports["reports"] if isinstance(reports, Mapping) else reports
        return {**received["study"], "reports": rows, "users": received["users"]}


async def stored_study(engine: Engine, report_id: str) -> StoredStudy | None:
    """Read the study of a report; None if it is not stored.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_OF_REPORT, report_id=report_id)
    return next((StoredStudy(str(one[2]), report_id, bytes(one[0]), bytes(one[1])) for one in rows), None)
