"""Laws of a report's patient: FHIR and HL7 v2 always agree, and no draft decides (D11, D12, D16, D18)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from fakes import er7_reader
from fakes.patients import patients
from fakes.scale import examples
from fakes.wire_strategies import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import decode, to_fhir, to_oru
from mappings.codes import SID_EXTERNAL_UNASSIGNED, SID_FILLER_ORDER, SID_MRN_UNASSIGNED, SID_STUDY_PATIENT
from mappings.hl7v2 import er7
from mappings.hl7v2.pid import OWN_AUTHORITY
from mappings.model import Cause, Report, Snapshot, Study
from mappings.patient.identifiers import fhir_id, long_id, short_id
from mappings.patient.subjects import subjects
from mappings.profile import Site, parse_site, receiver

SITE = parse_site("""
[mapping]
on_conflict = "send"
[[mapping.facilities]]
name = "Mercy"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
[[mapping.facilities]]
name = "City Medical Center"
external_patient_id_system = "urn:oid:1.2.4"
external_patient_id_namespace = "CMC"
""")
SYSTEMS = {"MERCY": "urn:oid:1.2.3", "CMC": "urn:oid:1.2.4"}
MADE = {"AGWMR": SID_MRN_UNASSIGNED, "AGWPI": SID_EXTERNAL_UNASSIGNED}
LIMITS = settings(max_examples=examples(150))
# Few values, so that reports agree and contradict in all ways
SNAPSHOTS = st.builds(
    Snapshot,
    facility_name=st.sampled_from(("Mercy", "City Medical Center", "Elsewhere", None)),
    mrn=st.sampled_from(("MRN-1", "mrn 01", "MRN-2", "0000", "1", "", None)),
    sex=st.sampled_from(("female", "male", None)),
    date_of_birth=st.sampled_from(("1985-07-20", "1986", None)),
)


@st.composite
def contradicting(draw: st.DrawFn) -> Study:
    """Draw a study that the wire allows, with snapshots of few people."""
    study = replace(decode(*draw(studies())), study_type=None)
    if not draw(st.booleans()):
        return study
    status = st.sampled_from(("completed", "completed", "in_progress"))
    reports = [replace(one, snapshot=draw(SNAPSHOTS), status=draw(status)) for one in study.reports]
    return replace(study, reports=tuple(reports), external_patient_id=draw(st.sampled_from(("EHR-1", None))))


def sent(study: Study, report: Report, site: Site) -> bytes:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    message = to_oru(study, Cause(report.report_id), site, receiver("generic"), control_id="1", at=at).output
    assert message is not None
    return message


@LIMITS
@given(contradicting(), st.sampled_from((SITE, Site(on_conflict="send"))))
def test_two_signed_reports_share_a_message_exactly_if_they_share_a_patient_in_fhir(study: Study, site: Site) -> None:
    groups = patients(study, site)
    assert sorted(one.report_id for group in groups for one in group) == sorted(
        one.report_id for one in study.completed
    )
    home = {one.report_id: index for index, group in enumerate(groups) for one in group}
    resources = {one["id"]: one for one in to_fhir(study, site).output}
    subject = {one: resources[fhir_id(one)]["subject"]["reference"] for one in home}
    for one, other in combinations(home, 2):
        assert (home[one] == home[other]) is (subject[one] == subject[other])


@LIMITS
@given(contradicting(), st.sampled_from((SITE, Site(on_conflict="send"))))
def test_a_message_names_the_patient_and_the_order_that_the_resources_name(study: Study, site: Site) -> None:
    resources = {one["id"]: one for one in to_fhir(study, site).output}
    for report in study.completed:
        message = sent(study, report, site)
        made = resources[fhir_id(report.report_id)]
        patient = resources[made["subject"]["reference"].removeprefix("Patient/")]
        shown = [
            (_code(one), er7_reader.unescape(er7.value(one["value"])), one["system"]) for one in patient["identifier"]
        ]
        told = [_told(repetition, study) for repetition in er7_reader.field(message, "PID-3").split("~")]
        same = [one for one in shown if (one[0], one[1]) in [(kind, value) for kind, _, value in told]]
        assert [(kind, value) for kind, value, _ in same] == [(kind, value) for kind, _, value in told]
        for (_, _, system), (_, authority, _) in zip(same, told, strict=True):
            # a number unfit for matching has in FHIR a system that HL7 v2 does not show
            assert system == authority or system.startswith(tuple(MADE.values()))
        filler = er7_reader.field(message, "OBR-3").removesuffix("^AUTOSCRIBE")
        assert filler in {one["value"] for one in made["identifier"] if one.get("system") == SID_FILLER_ORDER}


def _code(identifier: dict[str, Any]) -> str:
    """Type of an identifier; only HL7 v2 shows that of the gateway's own."""
    return identifier["type"]["coding"][0]["code"] if "type" in identifier else "U"


def _told(repetition: str, study: Study) -> tuple[str, str, str]:
    """Type, system and value of a number in PID-3."""
    value, _, _, authority, kind = (er7_reader.unescape(part) for part in repetition.split("^"))
    if authority == OWN_AUTHORITY:
        return kind, SID_STUDY_PATIENT, long_id("stu" if value == short_id(study.study_id) else "rep", value)
    made, _, digest = authority.partition("-")
    return kind, f"{MADE[made]}:{digest.lower()}" if made in MADE else SYSTEMS[authority], value


@LIMITS
@given(contradicting(), st.sampled_from((SITE, Site(on_conflict="send"))))
def test_the_answer_for_a_signed_report_is_the_same_with_and_without_drafts(study: Study, site: Site) -> None:
    every, signed = subjects(study, study.reports, site), subjects(study, study.completed, site)
    for report in study.completed:
        one, other = every[report.report_id], signed[report.report_id]
        assert (one.identity.patient_id, one.snapshot, one.pointer, one.number) == (
            *(other.identity.patient_id, other.snapshot, other.pointer, other.number),
        )
        assert set(other.identity.identifiers) <= set(one.identity.identifiers)
        assert [each for each in one.reports if each.is_completed] == list(other.reports)
