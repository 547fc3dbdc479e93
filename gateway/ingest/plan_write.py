"""Plan what is stored of a mapped study: changed and ended resources, claims about patients, and outbox rows.

Carries out no clause of a standard; decisions D7 (what a change is), D12, D20, D21.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

from gateway.ingest.map_study import NEW_TEXT, Fetched, Key, KnownStudy, Look, Resource, digest, remapped
from gateway.ingest.plan_outbox import patience, telling
from gateway.ingest.render_versions import rendered
from gateway.routing import NOTHING_IN_FORCE, InForce, Routes
from gateway.store.database.instants import instant, micros
from gateway.store.database.statements import Row, storable
from gateway.store.studies.coverage import digest_of
from gateway.store.studies.intake import PatientClaim, Taken, uid_key
from gateway.store.studies.kept import Kept, packed
from gateway.store.studies.versions import RenderedVersion
from mappings.fhir.rendering import json_bytes
from mappings.fhir.retired import retired
from mappings.life.status import refusal
from mappings.model import Study
from mappings.patient.identifiers import fhir_id
from mappings.patient.subjects import recency
from mappings.profile import Site
from mappings.values.dates import parse_instant

_NOWHERE: Final = Routes()


def taking(  # noqa: PLR0913 (the state read, the mapping, and the settings)
    mapped: Look,
    fetched: Fetched,
    standing: KnownStudy,
    others: Sequence[Row],
    site: Site,
    *,
    zone: tzinfo,
    now: int,
    patient_ids: Sequence[str],
    stored: Mapping[Key, Resource] | None = None,
    wants_pdf: bool = True,
    routes: Routes = _NOWHERE,
    in_force: InForce = NOTHING_IN_FORCE,
) -> Taken:
    """Return everything to be stored of a mapped study. `patient_ids` are those that `others` was read for.

    A resource is stored if it differs from the earlier study under the present mapping. With `stored` (the study's
    resources in the store), all of them are stored and indexed again (`rerender`).
    """
    study = mapped.change.study
    before = _before(standing, stored, site)
    is_anew = stored is not None
    changed = [one for key, one in mapped.resources.items() if is_anew or before.get(key) != one]
    own = [one for one in changed if one["resourceType"] != "Patient"]
    ended = [] if refusal(study) else _ended(before, mapped)
    users_as_of = _users_as_of(fetched, mapped)
    signed = {fhir_id(one.report_id): one.signed_at for one in study.completed}

    def render(resources: Sequence[Resource], asked: int) -> list[RenderedVersion]:
        return rendered(resources, zone, owner=study.study_id, as_of=users_as_of, asked=asked, signed=signed)

    changed_ids = {one["id"] for one in changed if one["resourceType"] == "Patient"}
    return Taken(
        study_id=study.study_id,
        revision=standing.revision,
        accession_number=standing.accession_number,
        now=now,
        row=_row(mapped, fetched, standing),
        reports=_reports(study, now),
        resources=render([*own, *ended], fetched.asked),
        issues=_issues(mapped),
        claims=[_claim(mapped.resources["Patient", one], is_changed=one in changed_ids) for one in mapped.patient_ids],
        rank=_rank(study, now),
        patient_ids=patient_ids,
        others=others,
        users=_users(fetched),
        conflicts=sorted(mapped.facts.taken_patient_ids),
        judged=_judged(mapped),
        causes=telling(mapped.change, standing.told, in_force, patience(routes, wants_pdf=wants_pdf), now),
        pdfs=[one.report_id for one in mapped.change.causes if wants_pdf and one.kind in NEW_TEXT],
        pdfs_missing=[one.report_id for one in study.completed if wants_pdf and is_anew],
        render=lambda body: render([json.loads(body)], now)[0],
        reindex=is_anew,
        is_move=mapped.change.is_move,
        told={(name, one) for name, ids in standing.told.items() for one in ids},
        in_force=in_force.number,
    )


def _judged(mapped: Look) -> list[dict[str, Any]]:
    return [
        {"patient_id": patient_id, "judged": one.digests, "counts": int(one.counts)}
        for patient_id, one in mapped.judged.items()
    ]


def _users_as_of(fetched: Fetched, mapped: Look) -> dict[str, int]:
    """Return when each user was read, by the ids of the Practitioner and roles made from the user."""
    as_of = {fhir_id(user_id): asked for user_id, asked in fetched.users_asked.items()}
    roles = [one for kind, one in mapped.resources if kind == "PractitionerRole"]
    whose = {one: one.rpartition("-")[0] for one in roles}
    return as_of | {one: as_of[user] for one, user in whose.items() if user in as_of}


def _before(standing: KnownStudy, stored: Mapping[Key, Resource] | None, site: Site) -> Mapping[Key, Resource]:
    if stored is not None:
        return stored
    return remapped(standing.kept, site) if standing.kept else {}


def _ended(before: Mapping[Key, Resource], mapped: Look) -> list[Resource]:
    """Return last versions of the resources that the study no longer has."""
    gone = [one for key, one in before.items() if key not in mapped.resources]
    return [last for one in gone if (last := retired(one)) is not None]


def _claim(patient: Resource, *, is_changed: bool) -> PatientClaim:
    return PatientClaim(patient["id"], json_bytes(patient), is_changed)


def _rank(study: Study, now: int) -> tuple[str, int]:
    study_date, signed = recency(study, instant(now))
    return study_date, int(signed * 1_000_000)


def _row(mapped: Look, fetched: Fetched, standing: KnownStudy) -> dict[str, Any]:
    study = mapped.change.study
    received = {
        "study": fetched.study,
        "reports": fetched.reports,
        "users": fetched.users,
        "users_asked": fetched.users_asked,
    }
    return {
        "study_instance_uid": uid_key(fetched.study["studyInstanceUid"]),
        "is_external": int(study.study_type == "external"),
        "has_signed": int(bool(study.completed)),
        "has_warnings": int(any(one.severity != "information" for one in mapped.issues)),
        "listed_digest": digest_of(fetched.study),
        "received_digest": digest(fetched, standing),
        "received": packed(received),
        "kept": packed(Kept(study, mapped.change.version, mapped.facts)),
        "fetched": fetched.asked,
    }


def _reports(study: Study, now: int) -> list[dict[str, Any]]:
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


def _issues(mapped: Look) -> list[dict[str, Any]]:
    return [
        {
            "place": place,
            "code": one.code,
            "severity": one.severity,
            "pointer": storable(one.pointer),
            "action": storable(one.action),
        }
        for place, one in enumerate(mapped.issues)
    ]


def _users(fetched: Fetched) -> list[dict[str, Any]]:
    return [
        {"user_id": one["userId"], "asked": fetched.users_asked.get(one["userId"], fetched.asked), "body": packed(one)}
        for one in fetched.users
    ]
