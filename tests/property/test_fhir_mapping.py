"""Laws of the FHIR mapping, tried on anything the upstream may send (D2, D4, D5; https://hl7.org/fhir/R4/json.html)."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from fakes.scale import examples
from fakes.wire_strategies import NASTY_TEXTS, studies
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import decode, to_fhir
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.judge import judge
from mappings.issues import WireError
from mappings.model import Facts, PdfFacts, Study
from mappings.profile import Site, parse_site
from mappings.values.text import utf8

NASTY_KEYS = ("UNKNOWN", "12 345", "0000")
FACILITIES = """
[[mapping.facilities]]
name = "Mercy"
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
[[mapping.facilities]]
name = "City Medical Center"
aliases = ["CMC"]
external_patient_id_system = "urn:oid:1.2.4"
external_patient_id_namespace = "CMC"
"""
SITE = parse_site(FACILITIES)
ODD_SITE = parse_site(
    '[mapping]\nsend_drafts = true\non_cancelled_after_sign = "withdraw"\nnumber_separator = " "\n'
    f'accession_keys = {list(NASTY_KEYS)}\nplacer_keys = ["O\'Neil"]\n{FACILITIES}'
)
sites = st.sampled_from((SITE, ODD_SITE, Site()))
LIMITS = settings(max_examples=examples(60))


def decoded(wire: tuple[Any, Any, Any]) -> Study:
    return decode(*wire)


@LIMITS
@given(studies(), sites)
def test_any_study_the_wire_allows_maps_to_resources_that_the_judge_lets_pass(wire: Any, site: Site) -> None:
    for resource in to_fhir(decoded(wire), site).output:
        assert judge(resource) == ()


@LIMITS
@given(studies(), sites)
def test_the_same_study_gives_the_same_bytes(wire: Any, site: Site) -> None:
    again = json.loads(json.dumps(wire))
    first, second = (to_fhir(decoded(one), site) for one in (wire, again))
    assert [json_bytes(one) for one in first.output] == [json_bytes(one) for one in second.output]
    assert first.issues == second.issues


@LIMITS
@given(studies(), sites)
def test_every_relative_reference_leads_to_a_resource_of_the_same_study(wire: Any, site: Site) -> None:
    resources = to_fhir(decoded(wire), site).output
    made = [f"{one['resourceType']}/{one['id']}" for one in resources]
    assert len(set(made)) == len(made)
    assert set(references(list(resources))) <= set(made)


@LIMITS
@given(studies())
def test_a_signed_text_survives_byte_for_byte_and_an_unsigned_one_is_nowhere(wire: Any) -> None:
    study = decoded(wire)
    resources = {one["id"]: one for one in to_fhir(study, SITE).output}
    if study.study_type == "external":
        assert resources == {}
        return
    for report in study.reports:
        forms = resources[report.report_id.replace("_", "-")].get("presentedForm", [])
        texts = [form["data"] for form in forms if "data" in form]
        if report.is_completed and report.text:
            assert texts[-1] == base64.b64encode(utf8(report.text)[0]).decode()
        if not report.is_completed:
            assert forms == []


@LIMITS
@given(studies())
def test_an_unsigned_text_that_the_site_lets_out_is_preliminary_and_titled_not_signed(wire: Any) -> None:
    study = decoded(wire)
    resources = {one["id"]: one for one in to_fhir(study, ODD_SITE).output}
    for report in study.reports if resources else ():
        shown = resources[report.report_id.replace("_", "-")]
        texts = [form for form in shown.get("presentedForm", ()) if "data" in form]
        if not report.is_completed and texts:
            assert shown["status"] == "preliminary"
            assert [form["data"] for form in texts] == [base64.b64encode(utf8(report.text or "")[0]).decode()]
            assert "NOT SIGNED" in texts[0]["title"]
        assert (shown["status"] == "preliminary") == (not report.is_completed and bool(texts))


@LIMITS
@given(studies(), sites)
def test_every_attachment_of_a_report_is_one_of_a_document_too(wire: Any, site: Site) -> None:
    """US Core CONF-0220: the same attachments, in the same order, are reachable from both."""
    forms, documents = {}, {}
    for resource in to_fhir(decoded(wire), site).output:
        if found := [form["url"] for form in resource.get("presentedForm", ())]:
            forms[f"{resource['id']}-doc"] = found
        if found := [one["attachment"]["url"] for one in resource.get("content", ())]:
            documents[resource["id"]] = found
    assert documents.keys() <= forms.keys()
    assert documents == {key: forms[key] for key in documents}
    assert {url for every in documents.values() for url in every} == {url for every in forms.values() for url in every}


@LIMITS
@given(studies(), sites, st.sampled_from(NASTY_TEXTS), st.booleans())
def test_no_correction_and_no_number_can_break_a_resource(wire: Any, site: Site, number: str, corrected: bool) -> None:
    study = decoded(wire)
    study = replace(
        study, metadata={key: f"{number} {value}" for key, value in zip(NASTY_KEYS, NASTY_TEXTS[6:], strict=False)}
    )
    ids = frozenset(report.report_id for report in study.reports if corrected)
    for resource in to_fhir(study, site, Facts(accession_number=number, corrected=ids)).output:
        assert judge(resource) == ()


@LIMITS
@given(studies(), st.integers(0, 2**31 - 1), st.binary(min_size=20, max_size=20), st.text(max_size=20))
def test_no_fact_of_the_store_can_break_a_resource(wire: Any, size: int, sha1: bytes, accession: str) -> None:
    study = decoded(wire)
    pdf = {report.report_id: PdfFacts(size, sha1) for report in study.reports}
    for resource in to_fhir(study, SITE, Facts(pdf, accession)).output:
        assert judge(resource) == ()


@LIMITS
@given(studies())
def test_issues_never_show_a_value(wire: Any) -> None:
    study = decoded(wire)
    for issue in to_fhir(study, SITE).issues:
        for report in study.reports:
            for value in (report.snapshot.patient_name, report.snapshot.mrn, report.text):
                assert value is None or len(value) < 12 or value not in str(issue)


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["reference"]] if isinstance(node.get("reference"), str) else []
    return own + [found for value in node.values() for found in references(value)]


@pytest.mark.full
def test_the_strategies_reach_beyond_the_decoder() -> None:
    """Guard: a generator whose studies the decoder refuses would prove nothing."""
    seen = []

    @settings(max_examples=30, database=None)
    @given(studies())
    def collect(wire: Any) -> None:
        try:
            seen.append(len(decoded(wire).reports))
        except WireError:
            seen.append(-1)

    collect()
    assert min(seen) >= 0
    assert max(seen) >= 2
