"""Life of a report in FHIR (D16-D22): the statuses in each state, of the report and its other resources."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fakes.fhir_studies import TEXT, addendum, codes, extensions, mapped, one, report
from fakes.upstream_json import report_id, study_json

from mappings.fhir.judge import judge
from mappings.model import Facts
from mappings.profile import Site, parse_site

DRAFTS = parse_site("[mapping]\nsend_drafts = true\n")
WITHDRAWS = parse_site('[mapping]\non_cancelled_after_sign = "withdraw"\n')
CANCELLED = study_json(isCancelled=True)
CORRECTED = Facts(corrected=frozenset({report_id("3")}))


def draft(**changes: Any) -> Any:
    return report(**{"status": "in_progress", "signedAt": None, "isCritical": True, **changes})


def observations(found: Any, *endings: str) -> list[Any]:
    return [
        each
        for each in found.output
        if each["resourceType"] == "Observation" and each["id"].rpartition("-")[2].startswith(endings)
    ]


def statuses(found: Any) -> tuple[str, set[str], set[str]]:
    """Statuses of the original report, its sections and its vital signs."""
    sections, vitals = observations(found, "s"), observations(found, "height", "weight")
    return (
        one(found, "DiagnosticReport", "3")["status"],
        {each["status"] for each in sections},
        {each["status"] for each in vitals},
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (mapped(), ("final", {"final"}, {"final"})),
        (mapped(report(), addendum()), ("appended", {"final", "amended"}, {"final"})),
        (mapped(facts=CORRECTED), ("corrected", {"corrected"}, {"final"})),
        (
            mapped(study=CANCELLED, site=WITHDRAWS),
            ("entered-in-error", {"entered-in-error"}, {"entered-in-error"}),
        ),
        (mapped(study=CANCELLED), ("final", {"final"}, {"final"})),
        (mapped(draft()), ("registered", set(), {"preliminary"})),
        (mapped(draft(), site=DRAFTS), ("preliminary", {"preliminary"}, {"preliminary"})),
        (mapped(draft(), study=CANCELLED), ("cancelled", set(), {"cancelled"})),
        (mapped(draft(status="dictated")), ("unknown", set(), {"unknown"})),
    ],
)
def test_sections_and_vital_signs_follow_the_state_of_their_report(found: Any, expected: Any) -> None:
    assert statuses(found) == expected
    assert [judge(each) for each in found.output] == [()] * len(found.output)


def test_a_corrected_report_still_shows_its_addenda() -> None:
    found = one(mapped(report(), addendum(), facts=CORRECTED), "DiagnosticReport", "3")
    assert found["status"] == "corrected"
    assert found["presentedForm"][0]["title"].startswith("Addendum")
    assert found["conclusion"].startswith("ADDENDUM (")


def test_a_withdrawn_report_keeps_its_content() -> None:
    standing, withdrawn = (one(mapped(study=CANCELLED, site=site), "DiagnosticReport") for site in (Site(), WITHDRAWS))
    for name in ("presentedForm", "conclusion", "issued", "result", "code"):
        assert withdrawn[name] == standing[name]


BOTH = parse_site('[mapping]\nsend_drafts = true\non_cancelled_after_sign = "withdraw"\n')


def test_an_open_draft_of_a_withdrawn_study_is_called_off_and_not_said() -> None:
    found = mapped(report(), draft(digit="4", isAddendum=True, reportPlainText="Draft."), study=CANCELLED, site=BOTH)
    open_one = one(found, "DiagnosticReport", "4")
    assert open_one["status"] == "cancelled"
    assert not {"presentedForm", "conclusion", "result"} & open_one.keys()
    assert "Draft." not in str(found.output)
    assert one(found, "ServiceRequest")["status"] == "revoked"
    assert "unsigned-text-withheld" in codes(found)


@pytest.mark.parametrize("text", [TEXT, ""])
def test_what_is_withdrawn_is_no_longer_flagged_critical_but_stays_where_it_was(text: str) -> None:
    standing, withdrawn = (
        observations(mapped(report(isCritical=True, reportPlainText=text), study=CANCELLED, site=site), "s")
        for site in (Site(), WITHDRAWS)
    )
    assert any("interpretation" in each for each in standing)
    assert not any("interpretation" in each for each in withdrawn)
    assert {each["status"] for each in withdrawn} == {"entered-in-error"}
    assert [each["id"] for each in withdrawn] == [each["id"] for each in standing]


def test_a_draft_that_the_site_lets_out_is_marked_wherever_its_text_is_read() -> None:
    found = mapped(draft(), site=DRAFTS)
    shown = one(found, "DiagnosticReport")
    assert "Status: preliminary, NOT SIGNED" in shown["text"]["div"]
    assert shown["conclusion"] == "Radiology report, NOT SIGNED:\nUnremarkable."
    [form] = shown["presentedForm"]
    assert form["title"] == "Radiology report, NOT SIGNED"
    assert base64.b64decode(form["data"]) == TEXT.encode()
    assert all("NOT SIGNED" in each["text"]["div"] for each in observations(found, "s"))
    assert "draft-shown" in codes(found)
    assert "unsigned-text-withheld" not in codes(found)


def test_a_draft_has_no_pdf_and_no_time_of_signing() -> None:
    found = mapped(draft(signedAt="2024-03-15T16:00:00Z"), site=DRAFTS)
    shown = one(found, "DiagnosticReport")
    assert "pdf" not in str(shown["presentedForm"])
    assert "issued" not in shown
    assert "creation" not in shown["presentedForm"][0]
    assert not any("issued" in each for each in observations(found, "s"))
    assert "end" not in one(found, "Provenance", "3-prov")["occurredPeriod"]
    assert "signedAt" not in extensions(shown)
    assert "signed-at-unexpected" in codes(found)


@pytest.mark.parametrize("site", [Site(), DRAFTS])
def test_a_draft_is_never_critical(site: Site) -> None:
    found = mapped(draft(), site=site)
    assert "isCritical" not in extensions(one(found, "DiagnosticReport"))
    assert not any("interpretation" in each for each in observations(found, "s"))
    assert "unsigned-critical-withheld" in codes(found)


@pytest.mark.parametrize("value", [False, None])
def test_a_draft_that_is_not_critical_withholds_nothing(value: bool | None) -> None:
    assert "unsigned-critical-withheld" not in codes(mapped(draft(isCritical=value)))


def test_odd_characters_of_a_shown_draft_are_reported() -> None:
    found = mapped(draft(reportPlainText="FINDINGS: a\x00b"), site=DRAFTS)
    assert "character-removed" in codes(found)
    assert "report-text-absent" not in codes(found)


def test_the_draft_of_an_addendum_is_titled_so_and_its_report_does_not_show_it() -> None:
    found = mapped(report(), addendum(status="in_progress", signedAt=None, isCritical=None), site=DRAFTS)
    own, parent = one(found, "DiagnosticReport", "4"), one(found, "DiagnosticReport", "3")
    assert own["presentedForm"][0]["title"] == "Addendum, NOT SIGNED"
    assert parent["status"] == "final"
    assert "Addendum text" not in str(parent)
