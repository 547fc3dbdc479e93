"""Read the stored state of one study before an ingest, and the study's JSON as AutoScribe last sent it.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports`, `/users/{userId}`; decisions D12, D18, D25.
Proved by tests/contract/test_pipeline.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.runtime import clock
from gateway.store.database.engine import Engine, Row, Statement, micros, uid_key
from gateway.store.database.kept import unpacked
from gateway.store.feed.cancelled_reports import Decisions, withdrawn_of
from gateway.store.orders.hospital import HospitalState
from gateway.store.studies.crawling import digest_of, marker
from gateway.store.studies.identities import CLAIMS, claims_in_order
from mappings.issues import MappingIssue
from mappings.model import PdfFacts

Json = Mapping[str, Any]

STUDY: Final = Statement(
    "SELECT revision, received_digest, kept, fetched, received FROM study WHERE study_id = :study_id"
)
# The row of a study; or one with the revision 0 for a study that was erased on order
_STATE: Final = Statement(
    "SELECT revision, received_digest, kept, listed_digest FROM study WHERE study_id = :study_id"
    " UNION ALL SELECT 0, '', NULL, '' FROM erased WHERE digest = :digest ORDER BY revision DESC"
)
CLAIMED: Final = Statement("SELECT patient_id FROM claim WHERE study_id = :study_id ORDER BY patient_id")
# Decisions of operators: verdicts on the study's patients, and what became of its cancelled reports (D12, D21)
DECISIONS: Final = Statement(
    "SELECT 'patient' AS about, patient_id, verdict, judged FROM verdict WHERE study_id = :study_id"
    " UNION ALL SELECT 'report', report_id, state, what FROM cancelled_report WHERE study_id = :study_id"
    " UNION ALL SELECT 'withdrawals', value, '', '' FROM fact WHERE name = 'withdrawals' ORDER BY 1, 2"
)
PDFS: Final = Statement("SELECT report_id, size, sha1 FROM pdf WHERE study_id = :study_id AND state = 'kept'")
MAY_BE_TOLD: Final = (
    "(state IN ('waiting', 'held', 'rendered', 'merged') OR (state = 'left' AND reason = 'may-have-been-sent'))"
)
TOLD: Final = Statement(
    "SELECT DISTINCT destination, report_id FROM outbox WHERE study_id = :study_id AND destination <> ''"  # noqa: S608 (constants)
    f" AND {MAY_BE_TOLD}"
)
ACCESSION: Final = Statement("SELECT accession_number FROM enrichment WHERE study_instance_uid = :study_instance_uid")


@dataclass(frozen=True, slots=True)
class Fetched:
    """Study as fetched from AutoScribe. `asked` is the instant before the request, in microseconds.

    `users_asked` is that instant for each user, who may have been requested earlier. `doubts` are issues for parts that
    could not be fetched.
    """

    study: Json
    reports: Json | Sequence[Json]
    users: Sequence[Json]
    asked: int
    users_asked: Mapping[str, int] = field(default_factory=dict)
    doubts: tuple[MappingIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownStudy:
    """State of a study in the store before an ingest; `revision` is 0 if it is not stored.

    `is_erased`: it was erased on order. `kept` is the packed state of its last ingest, and `listed_digest` that of its
    Study. `verdicts` maps a patient id to an operator's verdict (`link`, `separate`), `judged` to digests of the
    persons judged; `pdf` is by report id. `told` maps a destination's name to the ids of the reports sent there, or
    about to be. `patient_ids` are the patients of its last ingest. `claims` are the rows of known_claims.py about the
    patients in `claims_of`. `hospital` is what is known of its orders; None without a source of orders. `cancelled` are
    its reports that AutoScribe cancelled, with what operators decided. `withdrawals` are the studies that the site
    withdrew by itself within the hour.
    """

    revision: int = 0
    digest: str = ""
    is_erased: bool = False
    listed_digest: str = ""
    kept: bytes | None = None
    accession_number: str | None = None
    verdicts: Mapping[str, str] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)
    pdf: Mapping[str, PdfFacts] = field(default_factory=dict)
    told: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    patient_ids: frozenset[str] = frozenset()
    claims: Sequence[Row] = ()
    claims_of: frozenset[str] = frozenset()
    hospital: HospitalState | None = None
    cancelled: Decisions = field(default_factory=dict)
    withdrawals: frozenset[str] = frozenset()

    def withdrawn(self, what: str) -> frozenset[str]:
        """Return the cancelled reports that an operator withdrew: together with the `study`, or each `report` alone."""
        decided = {(what, "withdrawing"), (what, "withdrawn")}
        return frozenset(report_id for report_id, one in self.cancelled.items() if one in decided)

    def is_listed_as(self, listed: Json) -> bool:
        """True if a listed Study cannot undo a newer ingest: it is as at the last ingest, or the study is not stored.

        Any other listing may be older than the stored study, which another process may have fetched since.
        """
        return self.revision == 0 or self.listed_digest == digest_of(listed)


async def known_study(engine: Engine, study_id: str, site_key: bytes, *, wants_pdf: bool) -> KnownStudy:
    """Read all stored state of a study that an ingest compares with. The site key is for the marks of erased studies.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_STATE, study_id=study_id, digest=marker(study_id, site_key))
    if not rows or not rows[0][0]:
        return KnownStudy(is_erased=bool(rows))
    revision, received_digest, kept, listed_digest = rows[0]
    decisions = await engine.fetch(DECISIONS, study_id=study_id)
    verdicts = [row[1:] for row in decisions if row[0] == "patient"]
    pdfs = await engine.fetch(PDFS, study_id=study_id) if wants_pdf else ()
    return KnownStudy(
        revision=int(revision),
        digest=str(received_digest),
        listed_digest=str(listed_digest),
        kept=bytes(kept),
        verdicts={str(one): str(verdict) for one, verdict, _ in verdicts},
        judged={str(one): str(digests) for one, _, digests in verdicts},
        pdf={str(one): PdfFacts(int(size), bytes.fromhex(sha1)) for one, size, sha1 in pdfs},
        told=await reports_sent(engine, study_id),
        cancelled={str(one): (str(what), str(state)) for about, one, state, what in decisions if about == "report"},
        withdrawals=frozenset(
            study_id
            for about, noted, _, _ in decisions
            if about == "withdrawals"
            for study_id in withdrawn_of(str(noted), micros(clock.now()))
        ),
    )


async def reports_sent(engine: Engine, study_id: str) -> dict[str, set[str]]:
    """Return, by destination, the ids of a study's reports that were sent there or wait to be sent."""
    report_ids: dict[str, set[str]] = {}
    for destination, report_id in await engine.fetch(TOLD, study_id=study_id):
        report_ids.setdefault(str(destination), set()).add(str(report_id))
    return report_ids


async def with_own_claims(engine: Engine, known: KnownStudy, study_id: str) -> KnownStudy:
    """Add to the known state: the patients of the study's last ingest, and what all studies claim about them."""
    if not known.revision:
        return known
    claimed = frozenset(str(one) for (one,) in await engine.fetch(CLAIMED, study_id=study_id))
    return await with_claims(engine, replace(known, patient_ids=claimed), study_id, claimed)


async def with_claims(engine: Engine, known: KnownStudy, study_id: str, patient_ids: Collection[str]) -> KnownStudy:
    """Add to the known state: what studies claim about these patients and those of the study's last ingest."""
    claims_of = known.patient_ids.union(patient_ids)
    claims: list[Row] = []
    for patient_id in sorted(claims_of):
        claims += claims_in_order(patient_id, await engine.fetch(CLAIMS, patient_id=patient_id, study_id=study_id))
    return replace(known, claims=claims, claims_of=claims_of)


async def with_accession(engine: Engine, known: KnownStudy, fetched: Fetched) -> KnownStudy:
    """Add the accession number from an event `patient_study.enrichment_requested`, if one was stored (D18)."""
    uid = uid_key(str(fetched.study.get("studyInstanceUid")))
    rows = await engine.fetch(ACCESSION, study_instance_uid=uid)
    return replace(known, accession_number=rows[0][0]) if rows else known


async def received(engine: Engine, study_id: str) -> Fetched | None:
    """Return a stored study as AutoScribe last sent it; None if it is not stored."""
    rows = await engine.fetch(STUDY, study_id=study_id)
    if not rows:
        return None
    *_, asked, packed = rows[0]
    parts = unpacked(packed)
    return Fetched(parts["study"], parts["reports"], parts["users"], int(asked), parts["users_asked"])


def inputs_digest(fetched: Fetched, known: KnownStudy) -> str:
    """Return a digest of everything that the mapping depends on, except the site's settings and the mapping rules."""
    rows = fetched.reports["reports"] if isinstance(fetched.reports, Mapping) else fetched.reports
    ordered = sorted(rows, key=lambda row: str(row.get("reportId")))
    pdf = {report_id: (one.size, one.sha1.hex()) for report_id, one in known.pdf.items()}
    inputs = [fetched.study, ordered, list(fetched.users), known.accession_number, dict(known.verdicts), pdf]
    if known.hospital is not None:
        inputs.append(known.hospital.inputs)
    if withdrawn := [sorted(known.withdrawn(what)) for what in ("study", "report") if known.withdrawn(what)]:
        inputs.append(withdrawn)
    return digest_of(inputs)
