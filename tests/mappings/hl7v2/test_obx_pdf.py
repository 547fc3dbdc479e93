"""HL7 v2.5.1 §7.4.2 (ED, RP), decision D28: PDF of a report."""

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.er7_reader import all_of, segments
from fakes.oru_example import ADDENDUM_ID, REPORT_ID, SITE, UID, addendum, report, study

from mappings import to_oru
from mappings.model import Cause, Facts, Mapped, PdfFacts, Study
from mappings.profile import Receiver, Site, receiver

GENERIC = receiver("generic")
ED, RP, APART = (replace(GENERIC, pdf=pdf) for pdf in ("ed", "rp", "separate_message"))
LINKED = replace(SITE, fhir_base="https://gw.mercy.example/fhir")
BYTES = b"%PDF-1.4\n" + bytes(range(256)) * 4
SIGNER = "1234567893^SMITH^ALEX^R^^^MD^^NPI^L^^^NPI"
AFTER = f"||||||F|||20260105142000-0500||{SIGNER}"


def known(data: bytes | None = BYTES, *ids: str) -> Facts:
    return Facts(pdf={one: PdfFacts(len(data or b"1"), b"\0" * 20, data) for one in ids or (REPORT_ID,)})


def made(
    to: Receiver, facts: Facts, what: Study | None = None, site: Site = SITE, **cause: Any
) -> Mapped[bytes | None]:
    at = datetime(2026, 1, 5, 17, tzinfo=UTC)
    return to_oru(what or study(), Cause(REPORT_ID, **cause), site, to, facts, control_id="1", at=at)


def pdfs(mapped: Mapped[bytes | None]) -> list[list[str]]:
    assert mapped.output is not None
    return [row for row in all_of(mapped.output, "OBX") if row[2] in ("ED", "RP")]


def codes(mapped: Mapped[bytes | None]) -> dict[str, str]:
    return {issue.code: issue.pointer for issue in mapped.issues}


def test_the_bytes_are_one_line_of_base64_as_example_v5() -> None:
    [row] = pdfs(made(ED, known()))
    encoded = row[5].split("^")[-1]
    assert b64decode(encoded, validate=True) == BYTES
    head = "18748-4^Diagnostic imaging study^LN|4|AUTOSCRIBE^Application^PDF^Base64^"
    assert "|".join(row) == f"OBX|12|ED|{head}{encoded}{AFTER}"


def test_the_link_is_to_the_gateway_as_example_v6() -> None:
    [row] = pdfs(made(RP, Facts(), site=LINKED))
    link = "https://gw.mercy.example/fhir/Binary/rep-1b9e6f0d3c5a4e7f8091a2b3c4d5e6f7-pdf"
    assert row[5] == f"{link}^AUTOSCRIBE_GW^Application^PDF"
    assert row[2:5] == ["RP", "18748-4^Diagnostic imaging study^LN", "4"]


def test_a_base_that_ends_with_a_slash_makes_the_same_link() -> None:
    with_slash = replace(SITE, fhir_base="https://gw.mercy.example/fhir/")
    assert pdfs(made(RP, Facts(), site=with_slash)) == pdfs(made(RP, Facts(), site=LINKED))


@pytest.mark.parametrize(
    "base", ["", "gw.mercy.example/fhir", "https://a/b?c&d", "https://a|b", "https://a^b", "https://a b", "https://a~b"]
)
def test_without_an_address_that_v2_can_hold_there_is_no_link(base: str) -> None:
    mapped = made(RP, known(), site=replace(SITE, fhir_base=base))
    assert pdfs(mapped) == []
    assert codes(mapped)["pdf-link-impossible"] == "/reports/0"


@pytest.mark.parametrize("data", [None, b""])
def test_a_pdf_whose_bytes_are_not_there_is_reported(data: bytes | None) -> None:
    mapped = made(ED, known(data))
    assert pdfs(mapped) == []
    assert codes(mapped)["pdf-absent"] == "/reports/0"
    assert codes(made(ED, Facts()))["pdf-absent"] == "/reports/0"


def test_a_pdf_larger_than_the_receiver_takes_is_reported() -> None:
    assert pdfs(made(replace(ED, pdf_max=len(BYTES)), known())) != []
    mapped = made(replace(ED, pdf_max=len(BYTES) - 1), known())
    assert pdfs(mapped) == []
    assert codes(mapped)["pdf-too-large"] == "/reports/0"
    unread = Facts(pdf={REPORT_ID: PdfFacts(ED.pdf_max + 1, b"\0" * 20)})
    assert set(codes(made(ED, unread))) == {"pdf-too-large"}


@pytest.mark.parametrize(("version", "size"), [("2.3.1", 65536), ("2.5.1", 99999)])
def test_a_pdf_longer_than_the_standard_has_obx_5_goes_out_whole_and_is_reported(version: str, size: int) -> None:
    head = len("AUTOSCRIBE^Application^PDF^Base64^")
    for length, is_reported in (((size - head) // 4 * 3, False), (size // 4 * 3 + 3, True)):
        mapped = made(replace(ED, version=version), known(b"x" * length))
        [row] = pdfs(mapped)
        assert len(b64decode(row[5].split("^")[4], validate=True)) == length
        assert (codes(mapped).get("length-exceeded") == "/reports/0") is is_reported


@pytest.mark.parametrize("to", [GENERIC, APART])
def test_a_report_goes_without_where_the_receiver_wants_none_or_gets_it_apart(to: Receiver) -> None:
    mapped = made(to, known())
    assert pdfs(mapped) == []
    assert not codes(mapped)


def test_a_message_of_its_own_holds_the_uid_and_the_pdf() -> None:
    mapped = made(replace(APART, uid="both"), known(), part="pdf")
    assert mapped.output is not None
    assert [row[1:3] for row in all_of(mapped.output, "OBX")] == [["1", "ST"], ["2", "ED"]]
    assert all_of(mapped.output, "OBX")[0][5] == UID
    assert pdfs(mapped)[0][4] == "1"


def test_every_report_restated_has_its_pdf_in_the_order_of_the_texts() -> None:
    what = study(report(), addendum())
    rows = pdfs(made(replace(ED, obx14="signed"), known(BYTES, REPORT_ID, ADDENDUM_ID), what))
    assert [row[14] for row in rows] == ["20260105124500-0500", "20260105113012-0500"]
    assert int(rows[1][4]) == int(rows[0][4]) + 1
    assert int(rows[1][1]) == int(rows[0][1]) + 1


def test_a_draft_has_no_pdf() -> None:
    what = study(report(status="in_progress", signedAt=None))
    mapped = made(replace(ED, send_drafts="on"), known(), what, replace(SITE, send_drafts=True), kind="draft")
    assert pdfs(mapped) == []
    assert "pdf-absent" not in codes(mapped)


@pytest.mark.parametrize(("status_map", "number"), [((), 1), ((("W", "void"),), 0)])
def test_a_text_that_is_taken_away_takes_its_pdf_along(status_map: tuple[tuple[str, str], ...], number: int) -> None:
    what, site = study(isCancelled=True), replace(SITE, on_cancelled_after_sign="withdraw")
    mapped = made(replace(ED, status_map=status_map), known(), what, site, kind="withdrawn", sent_before=True)
    assert len(pdfs(mapped)) == number


def test_base64_survives_every_character_set_and_escape_switch() -> None:
    for switches in ({"escape": "strip"}, {"escape": "no_F"}, {"charset": "ASCII"}, {"charset": "8859/1"}):
        [row] = pdfs(made(replace(ED, **switches), known()))
        assert b64decode(row[5].split("^")[4], validate=True) == BYTES


def test_set_ids_go_on_from_the_lines() -> None:
    mapped = made(replace(ED, nte="notes"), known(), study(technologistNotes=["n"]))
    assert mapped.output is not None
    names = [row[0] for row in segments(mapped.output)]
    assert names[-3:] == ["NTE", "OBX", "ZDS"]
    numbers = [int(row[1]) for row in all_of(mapped.output, "OBX")]
    assert numbers == list(range(1, len(numbers) + 1))
