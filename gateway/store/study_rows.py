"""Make the rows, resource versions and patient claims to store for a mapped study; intake.py writes them.

Carries out no clause of a standard; decision D29.
Proved by tests/contract/test_patients.py and tests/gateway/store/studies/test_render_versions.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway.index.extract import Moment, Seen, Term, rows
from gateway.index.report_words import said_by
from gateway.store.database.engine import instant, micros, storable, uid_key
from gateway.store.database.kept import Kept, compressed, packed, stored_version
from gateway.store.known_study import (
    Fetched,
    KnownStudy,
    inputs_digest,
)
from gateway.store.orders.hospital import MatchWrite
from gateway.store.studies.crawling import digest_of
from gateway.store.studies.identities import content_of
from gateway.store.studies.shared_terms import TermSet, divided
from gateway.store.studies.write_versions import RenderedVersion
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.judge import Shapes, judge_all
from mappings.fhir.patient import described
from mappings.fhir.resource_types import types_at
from mappings.issues import MappingIssue
from mappings.life.changes import NOBODY, Change, GaveWay
from mappings.model import Facts, Study
from mappings.patient.identifiers import fhir_id
from mappings.patient.subjects import recency
from mappings.values.dates import parse_instant

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
    has_words: bool = False,
) -> list[RenderedVersion]:
    """Render resources as versions to store.

    `owner` is their study, `asked` the time it was read; `as_of` has the time of resources read at another time, by id.
    `signed` has the signing instant of a report by the id of its DiagnosticReport. `shapes` are those accepted before.
    With `has_words`, the words of reports are added.
    """
    seen: Seen = {}
    made = [
        _made(resource, faults, zone, owner, as_of.get(resource["id"], asked), signed.get(resource["id"]), seen)
        for resource, faults in zip(resources, judge_all(resources, shapes), strict=True)
    ]
    if not has_words:
        return made
    each = zip(made, resources, strict=True)
    return [replace(one, words=said_by(resource)) if one.is_report else one for one, resource in each]


class _Rendering(NamedTuple):
    """Stored form of a resource's content: its bytes and index values."""

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
    """Return the cached rendering of a resource that many studies share, such as an Organization."""
    return _rendering(json.loads(data), data, zone, None, {})


def _rendering(resource: Json, data: bytes, zone: tzinfo, signed: str | None, seen: Seen) -> _Rendering:
    """Render a resource with its index values; `data` is its JSON, beginning with type, id and meta."""
    before, _, behind = data.partition(_META)
    index_rows = rows(resource, zone, signed=signed, seen=seen)
    terms, term_set = divided(index_rows.terms)
    tail = behind if behind.startswith(b"}") else b"," + behind
    stored = stored_version(resource["resourceType"], before + _META, tail)
    return _Rendering(stored, terms, term_set, index_rows.moments)


def said_of(faults: Sequence[MappingIssue]) -> str:
    """Return the faults of a suppressed resource as JSON: only codes and places, never values."""
    return json.dumps([{"pointer": one.pointer, "code": one.code} for one in faults])


_DISPUTE: Final = "identity-conflict"
_NOBODY: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True)
class StudyWrite:
    """All that one ingest writes of a study. `row` has columns of the table `study`.

    `claims_left` are patients that the study no longer names. `patients` are the Patients of the newest claims.
    `carried` are patients who take over the verdict on one whom they replace since a merge. `pdfs`
    are reports whose PDF must be fetched again; `pdfs_missing` are those whose PDF may be available now. `in_force` is
    the number of the settings that decided the causes (D37). With `reindex`, nothing is sent. For a move (D13), the
    study's earlier state is kept. `gave_way` are patients whose number gave way since the last ingest (D48).
    `shapes_disagree` once the judge by shape was wrong. `order_news` are codes for destinations that were sent the
    study (D48). `match` is that with orders. `cancelled` are items of cancelled reports.
    `withdraws`: the site withdraws the study by itself, and had not before. Instants are microseconds.
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
    withdraws: bool = False


@dataclass(frozen=True, slots=True)
class ClaimedPatient:
    """Patient resource that a study claims. If unchanged, the stored body of the claim is kept."""

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
    has_words: bool = False,
    match: MatchWrite | None = None,
    made: Sequence[RenderedVersion] | None = None,
) -> StudyWrite:
    """Build the `StudyWrite` of a mapped study. `resources` are those to store, without the Patients.

    With `shapes`, they are judged by shape; with `has_words`, the words of reports are kept. `made` are their versions,
    if they were made before.
    """
    study = change.study
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
        resources=made
        if made is not None
        else rendered(
            resources,
            zone,
            owner=study.study_id,
            as_of=_users_as_of(fetched, resources),
            asked=fetched.asked,
            signed={fhir_id(one.report_id): one.signed_at for one in study.completed},
            shapes=shapes,
            has_words=has_words,
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
    """Return the study's claims about its patients; the newest study of a patient describes the patient (D12)."""
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
    """Return the Patient as the newest study describes it; None if no study names the patient any more."""
    mine = [one for one in claims if one["patient_id"] == patient_id]
    own = [(str(one["study_date"]), int(one["signed"]), study_id, one["body"]) for one in mine]
    rows = [row for row in known.claims if row[0] == patient_id and row[1] != study_id]
    others = [(str(day), int(signed), str(other), bytes(body)) for _, other, day, signed, body, *_ in rows]
    return described([body for *_, body in sorted((*own, *others))])


def _users_as_of(fetched: Fetched, resources: Sequence[Json]) -> dict[str, int]:
    """Return when each user was read, by the ids of the Practitioner and PractitionerRoles made from the user."""
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
