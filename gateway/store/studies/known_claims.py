"""Read what studies claim about one patient, a claim for each content, however many studies the patient has.

Carries out no clause of a standard; decisions D12 and D25. Claims of the same content describe the same person. Of
these the newest says all that an ingest compares with: who the patient is, and since when.
Proved by tests/contract/test_known_claims.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from gateway.store.compression.stored_bytes import decompressed
from gateway.store.database.statements import Row, Statement, Steps, ask

_LINKED: Final = "v.patient_id = :patient_id AND v.verdict = 'link' AND v.reopened IS NULL"
_OF_CLAIM: Final = "FROM claim c WHERE c.patient_id = :patient_id AND c.study_id = k.study_id)"
# Step by step through the contents in the index: of each the newest claim by another study. Then the claims that an
# operator linked to the patient, with the persons judged, and the study's own. The columns are read one by one: for a
# join or EXISTS, all claims of the patient might be read
_CLAIMS: Final = (
    "WITH RECURSIVE said (content) AS"
    " (SELECT (SELECT min(c.content) FROM claim c WHERE c.patient_id = :patient_id AND c.content > '')"
    " UNION ALL SELECT (SELECT min(c.content) FROM claim c WHERE c.patient_id = :patient_id"
    " AND c.content > said.content) FROM said WHERE said.content IS NOT NULL),"
    " known (study_id) AS (SELECT (SELECT c.study_id FROM claim c WHERE c.patient_id = :patient_id"
    " AND c.content = said.content AND c.study_id <> :study_id"
    " AND NOT EXISTS (SELECT 1 FROM verdict v WHERE {linked} AND v.study_id = c.study_id)"
    " ORDER BY c.study_date DESC, c.signed DESC, c.study_id DESC LIMIT 1) FROM said"
    " UNION SELECT v.study_id FROM verdict v WHERE {linked}"
    " UNION SELECT :study_id)"
    " SELECT k.study_id, (SELECT c.study_date {claim}, (SELECT c.signed {claim}, (SELECT c.body {claim},"
    " coalesce((SELECT v.judged FROM verdict v WHERE {linked} AND v.study_id = k.study_id), '') FROM known k"
)
CLAIMS: Final = Statement(_CLAIMS.replace("{linked}", _LINKED).replace("{claim}", _OF_CLAIM))


def content_of(body: bytes) -> str:
    """Return the digest by which claims of the same content are known."""
    return hashlib.sha256(body).hexdigest()[:32]


def claims_about(patient_ids: Iterable[str], study_id: str) -> Steps[list[Row]]:
    """Read the claims about these patients that an ingest of the study compares with, in order.

    A row has the patient, the study, its date, its signature, the Patient as bytes, and the persons judged.
    """
    claims: list[Row] = []
    for patient_id in sorted(patient_ids):
        claims += in_order(patient_id, (yield from ask(CLAIMS, patient_id=patient_id, study_id=study_id)))
    return claims


def in_order(patient_id: str, rows: Iterable[Row]) -> list[Row]:
    """Return the rows of `CLAIMS` by study, each with the patient before it; a row without a body is no claim."""
    claims: list[Row] = [(patient_id, *row[:3], decompressed(row[3]), *row[4:]) for row in rows if row[3] is not None]
    return sorted(claims, key=lambda row: str(row[1]))
