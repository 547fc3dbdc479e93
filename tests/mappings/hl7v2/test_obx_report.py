"""HL7 v2.5.1 §7.4.2: fields that all OBX of a report share."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of
from fakes.oru_example import REPORT_ID, SITE, TEXT, USER, addendum, codes, report, sent, study

from mappings import to_fhir
from mappings.model import Study
from mappings.profile import RECEIVERS, Site, receiver


def rows(text: str | None, **changes: object) -> list[list[str]]:
    return all_of(sent(study(report(reportPlainText=text, **changes))), "OBX")


DRAFTS = (replace(SITE, send_drafts=True), replace(receiver("generic"), send_drafts="on"))
WITHDRAWN = study(report(isCritical=True), isCancelled=True)
WITHDRAWING = replace(SITE, on_cancelled_after_sign="withdraw")


def test_every_line_has_the_status_time_and_signer_of_its_report() -> None:
    for row in rows("a\n\nb"):
        assert row[11] == "F"
        assert row[14] == "20260105142000-0500"
        assert row[16] == "1234567893^SMITH^ALEX^R^^^MD^^NPI^L^^^NPI"


def test_every_line_of_a_correction_is_corrected() -> None:
    assert {row[11] for row in all_of(sent(sent_before=True), "OBX")} == {"C"}


def test_a_signer_without_a_name_is_known_by_his_npi() -> None:
    nameless = {**USER, "firstName": "", "lastName": "", "middleName": "", "suffix1": ""}
    message = sent(study(users=(nameless,)))
    assert all_of(message, "OBX")[0][16] == "1234567893^^^^^^^^NPI^^^^NPI"


def test_a_signer_whose_npi_is_not_known_is_named() -> None:
    message = sent(study(users=({**USER, "npiNumber": ""},)))
    assert all_of(message, "OBX")[0][16] == "^SMITH^ALEX^R^^^MD^^^L"


def test_a_name_longer_than_the_standard_has_it_is_sent_whole() -> None:
    what = study(users=({**USER, "lastName": "S" * 300},))
    assert "S" * 300 in all_of(sent(what, report_id=REPORT_ID), "OBX")[0][16]
    assert codes(what)["length-exceeded"] == "/users/0"


def times(what: Study, site: Site = SITE, **switches: str) -> set[str]:
    """OBX-14 of all lines of a report."""
    return {row[14] for row in all_of(sent(what, site=site, to=replace(receiver("generic"), **switches)), "OBX")}


@pytest.mark.parametrize(
    ("snapshot", "site", "said"),
    [
        ({}, SITE, "20260105142000-0500"),
        ({"studyTime": None}, SITE, "20260105"),
        ({}, Site(), "20260105"),
        ({"studyDate": None}, SITE, "20260105"),
        ({"studyDate": "2026-02-30"}, Site(), "20260105"),
    ],
)
def test_the_lines_have_the_time_of_the_study_and_the_day_of_the_signature_where_there_is_none(
    snapshot: dict[str, str | None], site: Site, said: str
) -> None:
    """HL7 v2.5.1 §7.4.2.14: the physiologically relevant time; decision D15."""
    assert times(study(report(snapshot=snapshot)), site) == {said}


def test_the_time_of_the_study_is_that_of_fhir_effective() -> None:
    what = study(report(snapshot={"studyTime": "16:20"}))
    effective = next(one["effectiveDateTime"] for one in to_fhir(what, SITE).output if "effectiveDateTime" in one)
    assert times(what, dtm="offset") == {effective.replace("-", "", 2).replace("T", "").replace(":", "")}


def test_a_receiver_may_read_the_time_of_the_signature_there() -> None:
    assert times(study(), obx14="signed") == {"20260105113012-0500"}


def test_without_any_time_the_field_is_empty() -> None:
    nothing = report(signedAt=None, snapshot={"studyDate": None})
    assert times(study(nothing)) == times(study(nothing), obx14="signed") == {""}


def test_the_lines_of_an_addendum_without_a_study_date_say_the_day_of_its_signature_with_an_issue() -> None:
    what = study(report(), addendum(snapshot={"studyDate": None}))
    assert {row[14] for row in all_of(sent(what), "OBX")} == {"20260105142000-0500", "20260105"}
    assert codes(what)["study-date-absent"] == "/reports/1/snapshotMetadata/studyDate"


def test_the_time_of_the_instruments_analysis_is_never_said() -> None:
    for to in map(receiver, RECEIVERS):
        asked = replace(to, vista_exam="off", vista_patient="off")
        for version in ("2.3.1", "2.5.1", "2.7"):
            rows = all_of(sent(accession="ACC1", to=replace(asked, version=version)), "OBX")
            assert all(len(row) < 20 or row[19] == "" for row in rows)


def test_a_draft_whose_last_change_is_no_moment_has_no_time() -> None:
    site, to = replace(SITE, send_drafts=True), replace(receiver("generic"), send_drafts="on", obx14="signed")
    what = study(report(status="in_progress", signedAt=None, updatedAt="yesterday"))
    assert {row[14] for row in all_of(sent(what, site=site, to=to, kind="draft"), "OBX")} == {""}


def test_a_withdrawn_report_keeps_its_text_and_is_not_critical_any_more() -> None:
    found = all_of(sent(WITHDRAWN, site=WITHDRAWING, kind="withdrawn", sent_before=True), "OBX")
    assert [row[5] for row in found] == [row[5] for row in rows(TEXT)]
    assert {(row[8], row[11]) for row in found} == {("", "W")}
