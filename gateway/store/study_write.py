"""Read the stored state of one study before an ingest, and write the study in a commit that several may share.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports`, `/users/{userId}`; decisions D12, D18, D25,
D29. Written are its rows, rendered resources and claims.
Proved by tests/contract/test_patients.py and tests/contract/test_pipeline.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway.index.extract import Moment, Seen, Term, rows
from gateway.store.database.engine import Engine, Row, Statement, instant, micros, storable, uid_key
from gateway.store.database.kept import Kept, compressed, packed, stored_version, unpacked
from gateway.store.feed.cancelled_reports import Decisions
from gateway.store.orders.hospital import HospitalState, MatchWrite
from gateway.store.studies.crawling import digest_of, marker
from gateway.store.studies.identities import CLAIMS, claims_in_order, content_of
from gateway.store.studies.shared_terms import TermSet, divided
from gateway.store.studies.short_values import short_value
from gateway.store.studies.versions import RenderedVersion
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.judge import Shapes, judge_all
from mappings.fhir.patient import described
from mappings.fhir.resource_types import types_at
from mappings.issues import MappingIssue
from mappings.life.changes import NOBODY, Change, GaveWay
from mappings.model import Facts, PdfFacts, Study
from mappings.patient.identifiers import fhir_id
from mappings.patient.subjects import recency
from mappings.values.dates import parse_instant

StoredJson = Mapping[str, Any]

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
    " UNION ALL SELECT 'report', report_id, state, what FROM cancelled_report WHERE study_id = :study_id ORDER BY 1, 2"
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

    study: StoredJson
    reports: StoredJson | Sequence[StoredJson]
    users: Sequence[StoredJson]
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
    its reports that AutoScribe cancelled, with what operators decided.
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

    def withdrawn(self, what: str) -> frozenset[str]:
        """Return the cancelled reports that an operator withdrew: with their `study`, or each `report` itself."""
        decided = {(what, "withdrawing"), (what, "withdrawn")}
        return frozenset(report_id for report_id, one in self.cancelled.items() if one in decided)

    def is_listed_as(self, listed: StoredJson) -> bool:
        """True if a listed Study takes nothing back: it is as it was at the last ingest, or the study is not stored.

        Any other listing may be older than the stored study, which another process may have fetched since.
        """
        return self.revision == 0 or self.listed_digest == digest_of(listed)


async def known_study(engine: Engine, study_id: str, site_key: bytes, *, wants_pdf: bool) -> KnownStudy:
    """Read the state of a study: everything that an ingest compares with. The site key is that of erased studies.

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
        told=await told(engine, study_id),
        cancelled={str(one): (str(what), str(state)) for about, one, state, what in decisions if about == "report"},
    )


async def told(engine: Engine, study_id: str) -> dict[str, set[str]]:
    """Return, by destination, the ids of a study's reports that were sent there or are about to be."""
    report_ids: dict[str, set[str]] = {}
    for destination, report_id in await engine.fetch(TOLD, study_id=study_id):
        report_ids.setdefault(str(destination), set()).add(str(report_id))
    return report_ids


async def with_own_claims(engine: Engine, known: KnownStudy, study_id: str) -> KnownStudy:
    """Read the patients of the study's last ingest, and what studies claim about them."""
    if not known.revision:
        return known
    claimed = frozenset(str(one) for (one,) in await engine.fetch(CLAIMED, study_id=study_id))
    return await with_claims(engine, replace(known, patient_ids=claimed), study_id, claimed)


async def with_claims(engine: Engine, known: KnownStudy, study_id: str, patient_ids: Collection[str]) -> KnownStudy:
    """Read what studies claim about these patients, and about the patients of the study's last ingest."""
    claims_of = known.patient_ids.union(patient_ids)
    claims: list[Row] = []
    for patient_id in sorted(claims_of):
        claims += claims_in_order(patient_id, await engine.fetch(CLAIMS, patient_id=patient_id, study_id=study_id))
    return replace(known, claims=claims, claims_of=claims_of)


async def with_accession(engine: Engine, known: KnownStudy, fetched: Fetched) -> KnownStudy:
    """Add the accession number from `patient_study.enrichment_requested`, if there is one (D18)."""
    uid = uid_key(str(fetched.study.get("studyInstanceUid")))
    rows = await engine.fetch(ACCESSION, study_instance_uid=uid)
    return replace(known, accession_number=rows[0][0]) if rows else known


async def received(engine: Engine, study_id: str) -> Fetched | None:
    """Return a stored study as AutoScribe sent it last; None if it is not stored."""
    rows = await engine.fetch(STUDY, study_id=study_id)
    if not rows:
        return None
    *_, asked, packed = rows[0]
    parts = unpacked(packed)
    return Fetched(parts["study"], parts["reports"], parts["users"], int(asked), parts["users_asked"])


def inputs_digest(fetched: Fetched, known: KnownStudy) -> str:
    """Return a digest of everything that a mapping depends on, except the site and the mapping rules."""
    rows = fetched.reports["reports"] if isinstance(fetched.reports, Mapping) else fetched.reports
    ordered = sorted(rows, key=lambda row: str(row.get("reportId")))
    pdf = {report_id: (one.size, one.sha1.hex()) for report_id, one in known.pdf.items()}
    inputs = [fetched.study, ordered, list(fetched.users), known.accession_number, dict(known.verdicts), pdf]
    if known.hospital is not None:
        inputs.append(known.hospital.inputs)
    if withdrawn := [sorted(known.withdrawn(what)) for what in ("study", "report") if known.withdrawn(what)]:
        inputs.append(withdrawn)
    return digest_of(inputs)


Json = dict[str, Any]
# Shared by several studies, so that no study owns them
SHARED: Final = frozenset(types_at("patient", "referred", "apart"))
# Of those, the types whose resources come again and again with studies of other patients
_REPEATED: Final = frozenset(types_at("referred", "apart"))
_META: Final = b'"meta":{'


def rendered(  # noqa: PLR0913
    resources: Sequence[Json],
    zone: tzinfo,
    *,
    owner: str,
    as_of: Mapping[str, int],
    asked: int,
    signed: Mapping[str, str | None],
    shapes: Shapes | None = None,
) -> list[RenderedVersion]:
    """Return the resources as versions to be stored.

    `owner` is their study, `asked` the time it was read; `as_of` has the time of resources read at another time, by id.
    `signed` has the signing instant of a report by the id of its DiagnosticReport. `shapes` are those accepted before.
    """
    seen: Seen = {}
    return [
        _made(resource, faults, zone, owner, as_of.get(resource["id"], asked), signed.get(resource["id"]), seen)
        for resource, faults in zip(resources, judge_all(resources, shapes), strict=True)
    ]


class _Rendering(NamedTuple):
    """All that is stored of a resource's content."""

    stored: bytes
    terms: Sequence[Term]
    term_set: TermSet | None
    moments: frozenset[Moment]


def _made(  # noqa: PLR0913, PLR0917
    resource: Json,
    faults: Sequence[MappingIssue],
    zone: tzinfo,
    owner: str,
    as_of: int,
    signed: str | None,
    seen: Seen,
) -> RenderedVersion:
    kind, resource_id = resource["resourceType"], resource["id"]
    data = json_bytes({"resourceType": kind, "id": resource_id, "meta": {}, **resource})
    rendering = _again(data, zone) if kind in _REPEATED else _rendering(resource, data, zone, signed, seen)
    return RenderedVersion(
        f"{kind}/{resource_id}",
        "" if kind in SHARED else owner,
        as_of,
        stored=rendering.stored,
        faults=said_of(faults) if faults else None,
        terms=rendering.terms,
        moments=rendering.moments,
        term_set=rendering.term_set,
    )


@lru_cache(maxsize=1024)
def _again(data: bytes, zone: tzinfo) -> _Rendering:
    """Return the rendering of a resource that is the same in many studies, such as an Organization."""
    return _rendering(json.loads(data), data, zone, None, {})


def _rendering(resource: Json, data: bytes, zone: tzinfo, signed: str | None, seen: Seen) -> _Rendering:
    """Return the rendering of a resource; `data` is its JSON, which begins with type, id and meta."""
    before, _, behind = data.partition(_META)
    index_rows = rows(resource, zone, signed=signed, seen=seen)
    terms, term_set = divided((key, short_value(key, value)) for key, value in index_rows.terms)
    tail = behind if behind.startswith(b"}") else b"," + behind
    stored = stored_version(resource["resourceType"], before + _META, tail)
    return _Rendering(stored, terms, term_set, index_rows.moments)


def said_of(faults: Sequence[MappingIssue]) -> str:
    """Return the faults of a suppressed resource as JSON: codes and places, never values."""
    return json.dumps([{"pointer": one.pointer, "code": one.code} for one in faults])


_DISPUTE: Final = "identity-conflict"
_NOBODY: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True)
class StudyWrite:
    """Everything that is written of a study. `row` are columns of `study`.

    `claims_left` are patients that the study no longer names. `patients` are the Patients of the newest claims.
    `carried` are patients who take over the verdict on one whom they replace since a merge. `pdfs`
    are reports whose PDF must be fetched again; `pdfs_missing` are those whose PDF may be available now. `in_force` is
    the number of the settings that decided the causes (D37). With `reindex`, nothing is sent. For a move (D13), the
    study's earlier state is kept. `gave_way` are patients whose number gave way since the last ingest (D48).
    `shapes_disagree` once the judge by shape was wrong. `order_news` are codes for destinations that were sent the
    study (D48). `match` is that with orders. `cancelled` are items of cancelled reports. Instants are microseconds.
    """

    study_id: str
    now: int
    row: Mapping[str, Any]
    reports: Sequence[Mapping[str, Any]]
    resources: Sequence[RenderedVersion]
    issues: Sequence[Mapping[str, Any]]
    claims: Sequence[Mapping[str, Any]]
    claims_left: Sequence[str]
    patients: Sequence[RenderedVersion]
    users: Sequence[Mapping[str, Any]]
    conflicts: Sequence[str]
    judged: Sequence[Mapping[str, Any]]
    carried: Sequence[Mapping[str, Any]]
    causes: Sequence[Mapping[str, Any]]
    pdfs: Sequence[str]
    pdfs_missing: Sequence[str]
    in_force: int
    reindex: bool = False
    is_move: bool = False
    gave_way: GaveWay = NOBODY
    shapes_disagree: bool = False
    order_news: Sequence[str] = ()
    match: MatchWrite | None = None
    cancelled: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class ClaimedPatient:
    """Patient that a study names, as a resource. An unchanged one leaves the stored claim's body as it is."""

    resource: Json
    is_changed: bool


def study_write(  # noqa: PLR0913 (the study, and each decision about it)
    fetched: Fetched,
    known: KnownStudy,
    change: Change,
    facts: Facts,
    issues: Sequence[MappingIssue],
    *,
    resources: Sequence[Json],
    claimed: Sequence[ClaimedPatient],
    judged: Sequence[Mapping[str, Any]],
    carried: Sequence[Mapping[str, Any]],
    causes: Sequence[Mapping[str, Any]],
    pdfs: Sequence[str],
    pdfs_missing: Sequence[str],
    in_force: int,
    reindex: bool,
    zone: tzinfo,
    now: int,
    shapes: Shapes | None = None,
    match: MatchWrite | None = None,
) -> StudyWrite:
    """Make the rows and the resource versions of a mapped study. `resources` are those to be stored, Patients apart.

    With `shapes`, they are judged by shape.
    """
    study = change.study
    signed = {fhir_id(one.report_id): one.signed_at for one in study.completed}
    claims = _claims(known, study, claimed, now)
    named = [one["patient_id"] for one in claims]
    left = sorted(known.patient_ids.difference(named))
    newest = [body for one in (*named, *left) if (body := _newest(one, known, study.study_id, claims)) is not None]
    patients = [json.loads(body) for body in newest]
    return StudyWrite(
        study_id=study.study_id,
        now=now,
        row=_study_row(fetched, known, Kept(study, change.version, facts), issues),
        reports=_report_rows(study, now),
        resources=rendered(
            resources,
            zone,
            owner=study.study_id,
            as_of=_users_as_of(fetched, resources),
            asked=fetched.asked,
            signed=signed,
            shapes=shapes,
        ),
        issues=_issue_rows(issues),
        claims=[{**one, "body": compressed("Patient", one["body"])} for one in claims],
        claims_left=left,
        patients=rendered(patients, zone, owner="", as_of=_NOBODY, asked=now, signed={}, shapes=shapes),
        users=_user_rows(fetched),
        conflicts=sorted(facts.taken_patient_ids),
        judged=judged,
        carried=carried,
        causes=causes,
        pdfs=pdfs,
        pdfs_missing=pdfs_missing,
        in_force=in_force,
        reindex=reindex,
        is_move=change.is_move,
        shapes_disagree=shapes is not None and not shapes.is_trusted,
        match=match,
    )


def _claims(known: KnownStudy, study: Study, claimed: Sequence[ClaimedPatient], now: int) -> list[dict[str, Any]]:
    """Return the study's claims. The newest study of a patient describes the patient (D12)."""
    study_date, signed = recency(study, instant(now))
    stored = {str(row[0]): bytes(row[4]) for row in known.claims if row[1] == study.study_id}
    claims = []
    for one in claimed:
        patient_id = one.resource["id"]
        body = stored[patient_id] if patient_id in stored and not one.is_changed else json_bytes(one.resource)
        claim = {"patient_id": patient_id, "study_date": study_date, "signed": int(signed * 1_000_000), "body": body}
        claims.append({**claim, "content": content_of(body), "is_changed": int(one.is_changed)})
    return claims


def _newest(patient_id: str, known: KnownStudy, study_id: str, claims: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Return the patient as the newest study describes it; None if no study names the patient any more."""
    mine = [one for one in claims if one["patient_id"] == patient_id]
    own = [(str(one["study_date"]), int(one["signed"]), study_id, one["body"]) for one in mine]
    rows = [row for row in known.claims if row[0] == patient_id and row[1] != study_id]
    others = [(str(day), int(signed), str(other), bytes(body)) for _, other, day, signed, body, *_ in rows]
    return described([body for *_, body in sorted((*own, *others))])


def _users_as_of(fetched: Fetched, resources: Sequence[Json]) -> dict[str, int]:
    """Return when each user was read, by the ids of the Practitioner and roles made from the user."""
    as_of = {fhir_id(user_id): asked for user_id, asked in fetched.users_asked.items()}
    roles = [one["id"] for one in resources if one["resourceType"] == "PractitionerRole"]
    whose = {one: one.rpartition("-")[0] for one in roles}
    return as_of | {one: as_of[user] for one, user in whose.items() if user in as_of}


def _study_row(fetched: Fetched, known: KnownStudy, kept: Kept, issues: Sequence[MappingIssue]) -> dict[str, Any]:
    received = {
        "study": fetched.study,
        "reports": fetched.reports,
        "users": fetched.users,
        "users_asked": fetched.users_asked,
    }
    return {
        "study_instance_uid": uid_key(fetched.study["studyInstanceUid"]),
        "is_external": int(kept.study.study_type == "external"),
        "has_signed": int(bool(kept.study.completed)),
        "has_warnings": int(any(one.code == _DISPUTE for one in issues)),
        "listed_digest": digest_of(fetched.study),
        "received_digest": inputs_digest(fetched, known),
        "received": packed(received),
        "kept": packed(kept),
        "fetched": fetched.asked,
    }


def _report_rows(study: Study, now: int) -> list[dict[str, Any]]:
    return [
        {
            "report_id": one.report_id,
            "status": storable(one.status),
            "is_addendum": int(one.is_addendum),
            "signed": micros(at) if (at := parse_instant(one.signed_at)) else None,
            "first_seen_signed": now if one.is_completed else None,
        }
        for one in study.reports
    ]


def _issue_rows(issues: Sequence[MappingIssue]) -> list[dict[str, Any]]:
    return [
        {
            "place": place,
            "code": one.code,
            "severity": one.severity,
            "pointer": storable(one.pointer),
            "action": storable(one.action),
        }
        for place, one in enumerate(issues)
    ]


def _user_rows(fetched: Fetched) -> list[dict[str, Any]]:
    return [
        {"user_id": one["userId"], "asked": fetched.users_asked.get(one["userId"], fetched.asked), "body": packed(one)}
        for one in fetched.users
    ]
