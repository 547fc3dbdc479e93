"""Counts of the site's doctor, and proof that nothing of a patient is kept (decision D9)."""

from __future__ import annotations

from collections import Counter

from fakes.examined import examined, said
from fakes.fed import site as sandbox_site
from fakes.upstream_json import report_json, response_json, study_json

from gateway.sandbox.seed import generate, report_list
from gateway.sandbox.state import SandboxAccount
from mappings.profile import Site, parse_site

SITE = parse_site('[mapping]\n[[mapping.facilities]]\nname = "Mercy"\nname_order = "given_family"')


def test_facilities_are_counted_by_signed_report_and_by_spelling():
    found = examined(
        [said({"facilityName": "Mercy"}, {"facilityName": "MERCY  "}, {}), said({"facilityName": "B"})], SITE
    )
    assert found.facilities == {
        "mercy": Counter({"Mercy": 1, "MERCY": 1}),
        "": Counter({"": 1}),
        "b": Counter({"B": 1}),
    }
    assert len(found.studies) == 2


def test_a_study_without_a_signed_report_counts_by_what_it_says_itself():
    draft = report_json(status="in_progress", signedAt=None, snapshotMetadata={"facilityName": "A"})
    found = examined([(study_json(reportMetadata={"facilityName": "B"}), response_json(draft))], SITE)
    assert list(found.facilities) == ["b"]


def test_names_that_nothing_splits_are_counted_by_facility():
    names = [("Mercy", "Ann Lee"), ("Mercy", "Ann"), ("Other", "Ann Lee"), ("Other", "Lee, Ann"), ("Other", None)]
    found = examined([said(*({"facilityName": place, "patientName": name} for place, name in names))], SITE)
    assert found.names == {"mercy": 2, "other": 2}
    assert (found.unsplit["mercy"], found.unsplit["other"]) == (0, 1)


def test_keys_of_metadata_and_modalities_are_counted_by_study():
    found = examined(
        [said({}, {}, metadata={"acc": "1", "ward": "2"}, modality=" MR "), said(metadata={"acc": "3"})], SITE
    )
    assert found.metadata_keys == {"acc": 2, "ward": 1}
    assert found.modalities == {"MR": 1, "CT": 1}


def test_procedures_without_a_code_are_counted_and_those_with_one_are_not():
    texts = ["CT HEAD  ODD", "CT HEAD ODD", "ct head without contrast", None]
    found = examined([said(*({"procedure": text} for text in texts), studyDescription="CT BODY ODD")], SITE)
    assert found.uncoded["CT HEAD ODD"] == 2
    assert found.uncoded["CT BODY ODD"] == 1
    coded = next(iter(Site().procedures))
    assert not examined(
        [said({"procedure": coded}, modality=None)], Site(procedures={coded: Site().procedures[coded]})
    ).uncoded


def test_a_study_that_cannot_be_read_is_left_out():
    assert examined([({}, {}), said({})], SITE).studies == [said()[0]["studyId"]]


def test_nothing_of_a_patient_and_no_value_of_metadata_is_kept():
    account = SandboxAccount(generate(studies=60))
    studies = [
        ({**study, "metadata": {"acc": "NEVER-SHOWN"}}, report_list(study, account.reports_of(study)))
        for study in account.studies.values()
        if study.get("studyType") != "external"
    ]
    kept = repr(examined(studies, sandbox_site()))
    assert "NEVER-SHOWN" not in kept
    for _, reports in studies:
        for report in reports["reports"]:
            snapshot = report["snapshotMetadata"]
            for key in ("patientName", "mrn", "dateOfBirth", "referringPhysicianName"):
                assert not snapshot.get(key) or snapshot[key] not in kept
