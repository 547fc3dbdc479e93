"""DiagnosticReport (https://hl7.org/fhir/R4/diagnosticreport.html; US Core DiagnosticReport note; D3, D15-D17, D23)."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from fakes.fhir_studies import SITE, TEXT, addendum, codes, extensions, mapped, one, report, snapshot
from fakes.upstream_json import report_id, response_json, study_json, user_json

from mappings import decode, to_fhir
from mappings.codes import (
    CANONICAL,
    DATA_ABSENT_REASON_EXTENSION,
    SID_ACCESSION,
    SID_FILLER_ORDER,
    SID_REPORT,
    SID_USER,
)
from mappings.model import Facts, PdfFacts
from mappings.profile import Site, parse_site

OTHER_PATIENT = snapshot(patientName="Rick Roe", mrn="OTHER-1", sex="male", dateOfBirth="1950-01-01")
LATER = "2024-03-15T17:00:00Z"


def made(**changes):
    return one(mapped(report(**changes)), "DiagnosticReport")


def draft(digit: str = "5", **changes):
    return report(digit, **{"status": "in_progress", "signedAt": None, "isCritical": None, **changes})


def test_a_signed_report_is_final_with_everything_in_its_place() -> None:
    found = made()
    assert found["id"] == "rep-" + "3" * 32
    assert found["status"] == "final"
    assert found["issued"] == "2024-03-15T16:00:00Z"
    assert found["effectiveDateTime"] == "2024-03-15T14:30:00-04:00"
    assert found["conclusion"] == "Unremarkable."
    assert [each["reference"].partition("/")[0] for each in found["performer"]] == ["Organization", "Practitioner"]
    assert found["resultsInterpreter"] == [found["performer"][1]]
    assert found["imagingStudy"] == [{"reference": "ImagingStudy/stu-" + "1" * 32}]


def test_the_original_id_and_the_filler_order_number_are_identifiers() -> None:
    found = {each["system"]: each for each in made()["identifier"]}
    assert found[SID_REPORT]["value"] == report_id("3")
    assert len(found[SID_FILLER_ORDER]["value"]) == 22
    assert found[SID_FILLER_ORDER]["type"]["coding"][0]["code"] == "FILL"


def test_an_accession_number_is_an_identifier_only_when_the_store_knows_it() -> None:
    found = one(mapped(facts=Facts(accession_number="ACC-1")), "DiagnosticReport")["identifier"]
    assert found[2] == {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
        "system": SID_ACCESSION,
        "value": "ACC-1",
    }
    assert len(made()["identifier"]) == 2


def test_both_categories_stand_always_and_the_modalitys_beside_them() -> None:
    def categories(**changes):
        found = one(mapped(study=study_json(**changes)), "DiagnosticReport")["category"]
        return [each["coding"][0]["code"] for each in found]

    assert categories() == ["LP29684-5", "RAD"]
    assert categories(modality="MRI") == ["LP29684-5", "RAD", "NMR"]


def test_the_code_is_18748_4_with_the_procedure_as_text() -> None:
    code = made()["code"]
    assert code["coding"][0]["code"] == "18748-4"
    assert code["text"] == "MRI Brain with Contrast"


def test_without_a_procedure_the_studys_description_is_the_text_and_then_the_codes_own_name() -> None:
    bare = report(snapshotMetadata=snapshot(procedure=None))
    assert one(mapped(bare, study=study_json()), "DiagnosticReport")["code"]["text"] == "Brain MRI with Contrast"
    assert one(mapped(bare), "DiagnosticReport")["code"]["text"] == "Diagnostic imaging study"


def test_without_a_zone_only_the_date_is_said_and_the_time_kept_as_text() -> None:
    found = one(mapped(site=Site()), "DiagnosticReport")
    assert found["effectiveDateTime"] == "2024-03-15"
    assert extensions(found)["studyTime"] == "14:30"
    assert "studyTime" not in extensions(made())


def test_without_a_study_date_the_time_of_signing_stands_and_the_study_time_is_not_lost() -> None:
    found = mapped(report(snapshotMetadata=snapshot(studyDate=None)))
    resource = one(found, "DiagnosticReport")
    mark = {"url": f"{CANONICAL}/StructureDefinition/isTimeOfSigning", "valueBoolean": True}
    for each in (resource, one(found, "Observation", "-s0"), one(found, "Observation", "-s1")):
        assert each["effectiveDateTime"] == "2024-03-15T16:00:00Z"
        assert each["_effectiveDateTime"] == {"extension": [mark]}
    assert extensions(resource)["studyTime"] == "14:30"
    assert "study-date-absent" in codes(found)


def test_with_no_date_at_all_the_element_says_that_it_is_not_known() -> None:
    found = made(signedAt=None, snapshotMetadata=snapshot(studyDate="2024-02-30"))
    assert "effectiveDateTime" not in found
    absent = {"extension": [{"url": DATA_ABSENT_REASON_EXTENSION, "valueCode": "unknown"}]}
    assert found["_effectiveDateTime"] == absent


def test_presented_form_holds_the_original_bytes_with_size_and_hash() -> None:
    text = "FINDINGS: a\r\nb\x01\u00fc\u5c71"
    form = made(reportPlainText=text)["presentedForm"][0]
    assert base64.b64decode(form["data"]) == text.encode()
    assert form["contentType"] == "text/plain; charset=utf-8"
    assert form["size"] == len(text.encode())
    assert base64.b64decode(form["hash"]) == hashlib.sha1(text.encode()).digest()
    assert form["url"] == "Binary/rep-" + "3" * 32 + "-text"
    assert (form["title"], form["creation"]) == ("Radiology report", "2024-03-15T16:00:00Z")


def test_a_lone_surrogate_becomes_the_replacement_character_and_is_reported() -> None:
    found = mapped(report(reportPlainText="a\ud800b"))
    data = one(found, "DiagnosticReport")["presentedForm"][0]["data"]
    assert base64.b64decode(data).decode() == "a\ufffdb"
    assert "character-replaced" in codes(found)


def test_the_pdf_is_a_stable_address_and_its_size_and_hash_are_said_only_when_seen() -> None:
    unseen = made()["presentedForm"][1]
    assert unseen["url"] == "Binary/rep-" + "3" * 32 + "-pdf"
    assert unseen["contentType"] == "application/pdf"
    assert not {"size", "hash"} & unseen.keys()
    facts = Facts(pdf={report_id("3"): PdfFacts(1234, b"\x01" * 20)})
    seen = one(mapped(facts=facts), "DiagnosticReport")["presentedForm"][1]
    assert (seen["size"], base64.b64decode(seen["hash"])) == (1234, b"\x01" * 20)


def test_a_draft_is_registered_and_says_nothing_of_its_text() -> None:
    found = mapped(draft())
    resource = one(found, "DiagnosticReport")
    assert resource["status"] == "registered"
    assert not {"presentedForm", "conclusion", "result", "issued"} & resource.keys()
    assert "Normal brain" not in str(found.output)
    assert resource["resultsInterpreter"]
    assert "unsigned-text-withheld" in codes(found)


def test_a_draft_without_a_text_has_nothing_to_withhold() -> None:
    assert "unsigned-text-withheld" not in codes(mapped(draft(reportPlainText="")))


def test_a_report_of_an_unknown_status_is_unknown_and_its_text_withheld() -> None:
    found = mapped(report(status="dictated"))
    assert one(found, "DiagnosticReport")["status"] == "unknown"
    assert extensions(one(found, "DiagnosticReport"))["status"] == "dictated"
    assert "Normal brain" not in str(found.output)


def test_a_cancelled_study_without_a_signed_report_is_cancelled() -> None:
    found = mapped(draft(), study=study_json(isCancelled=True))
    assert one(found, "DiagnosticReport")["status"] == "cancelled"
    assert one(found, "ImagingStudy")["status"] == "cancelled"


def test_critical_is_three_valued() -> None:
    assert extensions(made(isCritical=True))["isCritical"] is True
    assert extensions(made(isCritical=False))["isCritical"] is False
    assert "isCritical" not in extensions(made(isCritical=None))


def test_what_r4_has_no_place_for_is_in_extensions() -> None:
    said = extensions(made())
    assert said["isAddendum"] is False
    assert said["createdAt"] == "2024-03-15T14:30:00Z"
    assert said["age"] == "38 years"


def test_instants_that_cannot_be_read_are_kept_as_text_and_reported() -> None:
    found = mapped(report(createdAt="yesterday", signedAt="2024-03-15T16:00:00", updatedAt="?"))
    said = extensions(one(found, "DiagnosticReport"))
    assert (said["createdAt"], said["signedAt"], said["updatedAt"]) == ("yesterday", "2024-03-15T16:00:00", "?")
    assert [issue.pointer for issue in found.issues if issue.code == "instant-unreadable"] == [
        "/reports/0/signedAt",
        "/reports/0/createdAt",
        "/reports/0/updatedAt",
    ]


def test_an_addendum_refers_to_its_parent_and_the_parent_shows_it_first() -> None:
    found = mapped(report(), addendum())
    own, parent = one(found, "DiagnosticReport", "4"), one(found, "DiagnosticReport", "3")
    assert own["extension"][0] == {
        "url": "http://hl7.org/fhir/StructureDefinition/diagnosticReport-addendumOf",
        "valueReference": {"reference": "DiagnosticReport/rep-" + "3" * 32},
    }
    assert (own["status"], parent["status"]) == ("final", "appended")
    titles = [form["title"] for form in parent["presentedForm"]]
    signed = "Addendum, signed 2024-03-16T09:00:00Z"
    assert titles == [signed, f"{signed} (PDF)", "Radiology report", "Radiology report (PDF)"]
    assert parent["conclusion"] == (
        "ADDENDUM (16-Mar-2024 05:00 -0400, Sarah Johnson):\nAddendum text.\n\n"
        "REPORT (15-Mar-2024 12:00 -0400, Sarah Johnson):\nUnremarkable."
    )
    assert parent["issued"] == "2024-03-16T09:00:00Z"


@pytest.mark.parametrize(
    ("changed_at", "issued"),
    [("2024-03-17T08:00:00Z", "2024-03-17T08:00:00Z"), ("2024-03-14T08:00:00Z", "2024-03-15T16:00:00Z")],
)
def test_a_text_that_changed_without_a_signature_was_issued_when_it_was_seen_first(
    changed_at: str, issued: str
) -> None:
    """D17: never earlier than the signature."""
    what = decode(None, response_json(report()), [user_json()])
    what = replace(what, reports=(replace(what.reports[0], text_changed_at=changed_at),))
    made = to_fhir(what, SITE, Facts())
    resource = one(made, "DiagnosticReport")
    assert {each["issued"] for each in (resource, one(made, "Observation", "-s0"))} == {issued}
    assert ("Text changed" in resource["text"]["div"]) is (issued == changed_at)
    assert "Signed: 15-Mar-2024 12:00 -0400<br/>" in resource["text"]["div"]


def test_a_text_that_changed_at_no_known_time_says_so_wherever_it_is_read() -> None:
    """D17: the moment that stands in is `issued`, and nothing says that it is the time of the change."""
    what = decode(None, response_json(report(), addendum()), [user_json()])
    changed = replace(what.reports[0], text_changed_at="2024-03-20T09:00:00Z", is_change_dated=False)
    resource = one(to_fhir(replace(what, reports=(changed, *what.reports[1:])), SITE), "DiagnosticReport", "3")
    own = "REPORT (15-Mar-2024 12:00 -0400, text changed at a time not known, Sarah Johnson):"
    assert resource["issued"] == changed.text_changed_at
    assert resource["conclusion"].startswith(own)
    assert "Text changed: at a time not known<br/>" in resource["text"]["div"]
    assert "20-Mar-2024" not in str(resource)


def test_an_addendum_about_another_patient_is_no_part_of_the_report() -> None:
    """D12: neither its text nor a link to it is in the other person's report."""
    own = mapped(report(), addendum(snapshotMetadata=OTHER_PATIENT))
    stranger, parent = one(own, "DiagnosticReport", "4"), one(own, "DiagnosticReport", "3")
    assert stranger["subject"]["reference"] != parent["subject"]["reference"]
    assert "Addendum text" not in str(parent)
    assert not any("valueReference" in each for each in stranger["extension"])
    assert "addendum-parent-unclear" in codes(own)
    assert {**parent, "identifier": ()} == {**one(mapped(), "DiagnosticReport"), "identifier": ()}


def test_each_of_two_patients_reports_shows_the_addenda_about_its_own() -> None:
    theirs = {"snapshotMetadata": OTHER_PATIENT}
    found = mapped(
        report(),
        report("5", signedAt=LATER, reportPlainText="IMPRESSION: Theirs.", **theirs),
        addendum(signedAt="2024-03-18T09:00:00Z"),
        addendum("6", signedAt="2024-03-16T10:00:00Z", reportPlainText="To theirs.", **theirs),
    )
    mine, other = one(found, "DiagnosticReport", "3"), one(found, "DiagnosticReport", "5")
    assert [line for line in mine["conclusion"].split("\n") if not line.endswith("):")] == [
        *("Addendum text.", "", "Unremarkable."),
    ]
    assert [line for line in other["conclusion"].split("\n") if not line.endswith("):")] == [
        *("To theirs.", "", "Theirs."),
    ]
    assert [form["url"].rpartition("-")[0][-1] for form in other["presentedForm"]] == ["6", "6", "5", "5"]
    assert (mine["issued"], other["issued"]) == ("2024-03-18T09:00:00Z", "2024-03-16T10:00:00Z")
    assert (mine["status"], other["status"]) == ("appended", "appended")
    parents = {digit: one(found, "DiagnosticReport", digit)["extension"][0]["valueReference"] for digit in "46"}
    assert {key: to["reference"][-1] for key, to in parents.items()} == {"4": "3", "6": "5"}
    assert "addendum-parent-unclear" not in codes(found)


def test_the_numbers_of_the_order_stand_with_the_reports_of_the_patient_whose_order_it_is() -> None:
    site = parse_site('[mapping]\naccession_keys = ["acc"]\nplacer_keys = ["order"]\n')
    study = study_json(metadata={"acc": "A1", "order": "P1"})
    found = mapped(report(), report("5", signedAt=LATER, snapshotMetadata=OTHER_PATIENT), study=study, site=site)
    numbers = {
        digit: [each["type"]["coding"][0]["code"] for each in one(found, "DiagnosticReport", digit)["identifier"][1:]]
        for digit in "35"
    }
    assert numbers == {"3": ["FILL", "ACSN", "PLAC"], "5": ["FILL"]}
    assert "A1" not in str(one(found, "DiagnosticReport", "5"))


@pytest.mark.parametrize(
    ("signed", "added", "issued"),
    [
        ("2024-03-20T09:00:00Z", "2024-03-16T09:00:00Z", "2024-03-20T09:00:00Z"),
        ("2024-03-16T09:00:00.5Z", "2024-03-16T09:00:00Z", "2024-03-16T09:00:00.500000Z"),
        ("2024-03-16T09:00:00+02:00", "2024-03-16T08:00:00Z", "2024-03-16T08:00:00Z"),
        (None, "2024-03-16T09:00:00Z", "2024-03-16T09:00:00Z"),
        (None, None, None),
    ],
)
def test_issued_is_the_newest_signature_also_where_the_original_was_signed_again(signed, added, issued) -> None:
    parent = one(mapped(report(signedAt=signed), addendum(signedAt=added)), "DiagnosticReport", "3")
    assert parent.get("issued") == issued
    assert ("<br/>Signed: " in parent["text"]["div"]) == bool(issued)


def test_the_newest_addendum_comes_first() -> None:
    last = addendum("6", signedAt="2024-03-18T09:00:00Z", reportPlainText="The last word.")
    parent = one(mapped(report(), addendum(), last), "DiagnosticReport", "3")
    assert parent["conclusion"].index("last word") < parent["conclusion"].index("Addendum text")
    assert parent["issued"] == "2024-03-18T09:00:00Z"


def test_an_older_addendum_is_amended_and_shows_the_newest_first() -> None:
    last = addendum("6", signedAt="2024-03-18T09:00:00Z", reportPlainText="The last word.", isCritical=True)
    found = mapped(report(), addendum(), last)
    older = one(found, "DiagnosticReport", "4")
    assert (older["status"], older["issued"]) == ("amended", "2024-03-18T09:00:00Z")
    assert older["conclusion"] == (
        "ADDENDUM (18-Mar-2024 05:00 -0400, Sarah Johnson):\nThe last word.\n\n"
        "ADDENDUM (16-Mar-2024 05:00 -0400, Sarah Johnson):\nAddendum text."
    )
    assert [form["url"].rpartition("-")[0][-1] for form in older["presentedForm"]] == ["6", "6", "4", "4"]
    assert one(found, "DocumentReference", "4-doc")["docStatus"] == "amended"
    assert one(found, "DiagnosticReport", "6")["status"] == "final"


def test_a_report_whose_text_changed_after_its_addendum_stands_first_in_all_its_resources() -> None:
    study = decode(None, response_json(report(), addendum()), (user_json(),))
    changed = replace(study.reports[0], text_changed_at="2024-03-20T09:00:00Z")
    found = to_fhir(replace(study, reports=(changed, *study.reports[1:])), SITE)
    own = "REPORT (15-Mar-2024 12:00 -0400, text changed 20-Mar-2024 05:00 -0400, Sarah Johnson):"
    addition = "ADDENDUM (16-Mar-2024 05:00 -0400, Sarah Johnson):\nAddendum text."
    made = one(found, "DiagnosticReport", "3")
    assert made["conclusion"] == f"{own}\nUnremarkable.\n\n{addition}"
    assert [form["url"].rpartition("-")[0][-1] for form in made["presentedForm"]] == ["3", "3", "4", "4"]
    assert one(found, "Observation", "3-s0")["valueString"] == "Normal brain."
    assert one(found, "Observation", "3-s1")["valueString"] == f"{own}\nIMPRESSION: Unremarkable.\n\n{addition}"
    assert "text-changed-after-addendum" in codes(found)


def test_an_addendum_is_amended_and_shows_its_report_first_if_that_changed_since() -> None:
    study = decode(None, response_json(report(isCritical=True), addendum()), (user_json(),))
    changed = replace(study.reports[0], text_changed_at="2024-03-20T09:00:00Z")
    found = to_fhir(replace(study, reports=(changed, *study.reports[1:])), SITE)
    said = (
        "REPORT (15-Mar-2024 12:00 -0400, text changed 20-Mar-2024 05:00 -0400, Sarah Johnson):\nUnremarkable.\n\n"
        "ADDENDUM (16-Mar-2024 05:00 -0400, Sarah Johnson):\nAddendum text."
    )
    older = one(found, "DiagnosticReport", "4")
    assert (older["status"], older["issued"], older["conclusion"]) == ("amended", "2024-03-20T09:00:00Z", said)
    assert "CRITICAL RESULT in the report" in older["text"]["div"]
    assert one(found, "DocumentReference", "4-doc")["docStatus"] == "amended"
    observed = one(found, "Observation", "4-s0")
    assert (observed["status"], observed["valueString"]) == ("amended", said)
    assert "interpretation" not in observed


def test_an_addendum_without_a_time_of_signing_is_titled_so() -> None:
    parent = one(mapped(report(), addendum(signedAt=None)), "DiagnosticReport", "3")
    assert parent["presentedForm"][0]["title"] == "Addendum, time of signing not known"
    assert parent["issued"] == "2024-03-15T16:00:00Z"


def test_an_open_addendum_leaves_the_parent_final_and_its_text_unsaid() -> None:
    found = mapped(report(), addendum(status="in_progress", signedAt=None))
    assert one(found, "DiagnosticReport", "3")["status"] == "final"
    assert one(found, "DiagnosticReport", "4")["status"] == "registered"
    assert "Addendum text" not in str(found.output)


def test_an_addendum_of_two_originals_is_linked_to_none_and_shown_by_both() -> None:
    found = mapped(report(), report("5"), addendum())
    own = one(found, "DiagnosticReport", "4")
    assert not any("valueReference" in each for each in own["extension"])
    assert {one(found, "DiagnosticReport", digit)["status"] for digit in "35"} == {"appended"}
    assert "addendum-parent-unclear" in codes(found)


def test_a_signed_report_without_text_says_so_and_still_names_its_pdf() -> None:
    found = mapped(report(reportPlainText=""))
    resource = one(found, "DiagnosticReport")
    assert [form["contentType"] for form in resource["presentedForm"]] == ["application/pdf"]
    assert "result" not in resource
    assert "report-text-absent" in codes(found)


def test_several_impressions_conclude_under_their_own_headings_in_their_order() -> None:
    found = made(
        reportPlainText="CT HEAD IMPRESSION:\nNo bleed.\n**IMPRESSION - NECK:**\nNormal.\nIMPRESSION (CHEST)\n"
    )
    assert found["conclusion"] == "CT HEAD IMPRESSION:\nNo bleed.\n\n**IMPRESSION - NECK:**\nNormal."


def test_a_conclusion_beyond_a_megabyte_is_left_to_presented_form() -> None:
    found = mapped(report(reportPlainText="FINDINGS: a\nIMPRESSION: " + "x" * (1024 * 1024 + 1)))
    assert "conclusion" not in one(found, "DiagnosticReport")
    assert "dataAbsentReason" in one(found, "Observation", "s1")
    assert "text-too-long" in codes(found)


def test_an_unknown_user_is_named_by_identifier_and_no_reference_leads_nowhere() -> None:
    found = mapped(users=())
    named = one(found, "DiagnosticReport")["resultsInterpreter"][0]
    assert named == {"type": "Practitioner", "identifier": {"system": SID_USER, "value": "usr_" + "2" * 32}}
    assert "user-unknown" in codes(found)


def test_a_user_without_a_last_name_is_named_by_identifier_and_first_name() -> None:
    found = mapped(users=(user_json(lastName=" "),))
    assert one(found, "DiagnosticReport")["resultsInterpreter"][0]["display"] == "Sarah"
    assert "user-last-name-absent" in codes(found)
    nameless = mapped(users=(user_json(lastName=" ", firstName=""),))
    assert "display" not in one(nameless, "DiagnosticReport")["resultsInterpreter"][0]


def test_an_external_study_gives_nothing_but_an_issue() -> None:
    found = mapped(study=study_json(studyType="external"))
    assert found.output == ()
    assert codes(found) == {"study-external"}


def test_a_report_without_a_facility_is_performed_by_the_radiologist_alone() -> None:
    found = one(mapped(report(snapshotMetadata=snapshot(facilityName=None)), site=SITE), "DiagnosticReport")
    assert [each["reference"] for each in found["performer"]] == ["Practitioner/usr-" + "2" * 32]


def test_the_narrative_says_what_is_critical_first_then_whose_report_it_is_of_what_when_and_by_whom() -> None:
    div = made(isCritical=True)["text"]["div"]
    said = re.sub(r"<[^>]*>", "\n", div).split("\n")
    assert [line for line in said if line][:10] == [
        "CRITICAL RESULT",
        "Radiology report",
        "Patient: Jane Doe",
        "MRN: MRN-001234",
        "Study date: 15-Mar-2024 14:30 -0400",
        "Facility: City Medical Center",
        "Procedure: MRI Brain with Contrast",
        "Status: final",
        "Signed: 15-Mar-2024 12:00 -0400",
        "Radiologist: Sarah Johnson",
    ]
    assert "CRITICAL" not in made(isCritical=None)["text"]["div"]


def test_a_study_whose_zone_is_not_known_has_its_date_alone_in_the_narrative() -> None:
    found = one(mapped(report(), site=Site()), "DiagnosticReport")
    assert "Study date: 15-Mar-2024<br/>" in found["text"]["div"]
    assert "Signed: 15-Mar-2024 16:00 UTC<br/>" in found["text"]["div"]


def test_the_narrative_of_a_report_says_that_an_addendum_is_critical() -> None:
    found = mapped(report(isCritical=False), addendum(isCritical=True))
    assert "<p><b>CRITICAL RESULT in an addendum</b></p>" in one(found, "DiagnosticReport", "3")["text"]["div"]
    assert "<p><b>CRITICAL RESULT</b></p>" in one(found, "DiagnosticReport", "4")["text"]["div"]


def test_the_narrative_holds_the_text_escaped() -> None:
    div = made(reportPlainText=TEXT + "\n<script>alert(1)</script>")["text"]["div"]
    assert "&lt;script&gt;" in div
    assert "<script>" not in div
