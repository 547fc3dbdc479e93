"""HL7 v2.5.1 §7.4.2: what all OBX of a report say of it."""

from dataclasses import replace

from fakes.er7_reader import all_of
from fakes.oru_example import REPORT_ID, SITE, TEXT, USER, codes, report, sent, study

from mappings.hl7v2 import receiver


def rows(text: str | None, **changes: object) -> list[list[str]]:
    return all_of(sent(study(report(reportPlainText=text, **changes))), "OBX")


DRAFTS = (replace(SITE, send_drafts=True), replace(receiver("generic"), send_drafts="on"))
WITHDRAWN = study(report(isCritical=True), isCancelled=True)
WITHDRAWING = replace(SITE, on_cancelled_after_sign="withdraw")


def test_every_line_has_the_status_time_and_signer_of_its_report() -> None:
    for row in rows("a\n\nb"):
        assert row[11] == "F"
        assert row[14] == "20260105163012+0000"
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


def test_a_draft_whose_last_change_is_no_moment_has_no_time() -> None:
    site, to = DRAFTS
    what = study(report(status="in_progress", signedAt=None, updatedAt="yesterday"))
    assert {row[14] for row in all_of(sent(what, site=site, to=to, kind="draft"), "OBX")} == {""}


def test_a_withdrawn_report_keeps_its_text_and_is_not_critical_any_more() -> None:
    found = all_of(sent(WITHDRAWN, site=WITHDRAWING, kind="withdrawn", sent_before=True), "OBX")
    assert [row[5] for row in found] == [row[5] for row in rows(TEXT)]
    assert {(row[8], row[11]) for row in found} == {("", "W")}
