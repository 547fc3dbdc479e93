"""Changed mappings send and write nothing by themselves: a change is a different input (D7, D20)."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes.fhir_studies import SITE, addendum, report, snapshot
from fakes.store import rows
from fakes.taken_in import contents, current, giving, outbox, said, study_id, take, written

from gateway.index.keys import key
from gateway.ingest import Fetched, Pipeline
from mappings import decode, to_fhir
from mappings.profile import parse_site

GOLDEN = Path(__file__).parents[1] / "golden"
REPORT = "DiagnosticReport/rep-" + "3" * 32
STUDY = study_id("1")
# Another time zone, other names of the facility, another system of its numbers, a dictionary of procedures
OTHER = parse_site("""
[[mapping.facilities]]
name = "City Medical Center"
aliases = ["CMC"]
time_zone = "Asia/Tokyo"
name_order = "family_given"
mrn_system = "urn:oid:1.2.999"
mrn_namespace = "OTHER"
""")


def golden():
    """Return every study of the golden cases that has reports."""
    for path in sorted(GOLDEN.glob("*/wire.json")):
        wire = json.loads(path.read_text())
        if "reportMetadata" in wire:
            yield Fetched(wire, wire.get("reports", []), wire.get("users", []), 1)


def bare(resource):
    """Return a resource without the store's additions to `meta`."""
    meta = {name: value for name, value in resource["meta"].items() if name not in {"versionId", "lastUpdated"}}
    rest = {name: value for name, value in resource.items() if name != "meta"}
    return {**rest, "meta": meta} if meta else rest


def mapped(fetched, site):
    """Return the resources that a study maps to by itself, by address."""
    found = to_fhir(decode(fetched.study, fetched.reports, fetched.users), site).output
    return {f"{one['resourceType']}/{one['id']}": one for one in found}


async def count(engine):
    return await rows(engine, "SELECT count(*), max(updated) FROM version")


@pytest.mark.full
async def test_a_crawl_over_what_did_not_change_writes_and_tells_nothing_under_another_mapping(engine):
    studies = list(golden())
    assert len(studies) > 30
    before, after = Pipeline(engine, SITE, UTC), Pipeline(engine, OTHER, ZoneInfo("Asia/Tokyo"))
    for fetched in studies:
        await before.ingest(fetched.study["studyId"], giving(fetched))
    versions, told = await count(engine), await outbox(engine)
    for fetched in studies:
        assert written(await after.ingest(fetched.study["studyId"], giving(fetched))) == set()
    assert await count(engine) == versions
    assert await outbox(engine) == told
    for fetched in studies:
        await after.rerender(fetched.study["studyId"])
    anew = await count(engine)
    assert anew != versions
    assert await outbox(engine) == told
    for fetched in studies:
        assert written(await after.rerender(fetched.study["studyId"])) == set()
    assert await count(engine) == anew


@pytest.mark.parametrize(
    "changed",
    [
        {"modality": "CT"},
        {"studyDescription": "Another"},
        {"clinicalHistory": "Cough"},
        {"severity": "stat"},
        {"metadata": {"accession": "A1"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_one_changed_field_writes_only_what_that_field_touches(engine, changed):
    before, after = Pipeline(engine, SITE, UTC), Pipeline(engine, OTHER, UTC)
    await take(before)
    was = await current(engine)
    ingested = await take(after, **changed)
    first, second = mapped(said(report()), OTHER), mapped(said(report(), **changed), OTHER)
    touched = {address for address, one in second.items() if first.get(address) != one}
    patients = {address for address in second if address.startswith("Patient/")} - was.keys()
    assert written(ingested) == touched | patients
    assert await outbox(engine) == [("3", "signed")]
    now = await current(engine)
    assert {address: bare(now[address]) for address in touched} == {address: second[address] for address in touched}
    assert {address: one for address, one in now.items() if address not in touched | patients} == {
        address: one for address, one in was.items() if address not in touched
    }


async def test_what_a_new_version_refers_to_as_its_patient_is_stored(engine):
    """Check the patient's id: another system of numbers changes it, though nothing of the patient changed."""
    before, after = Pipeline(engine, SITE, UTC), Pipeline(engine, OTHER, UTC)
    await take(before)
    await take(after, report(isCritical=True))
    found = await current(engine)
    assert found[REPORT]["subject"]["reference"] in found


async def test_a_store_that_is_older_than_a_type_of_resource_gets_it_on_rerender_and_tells_nothing(engine, monkeypatch):
    pipeline = Pipeline(engine, SITE, UTC)
    with monkeypatch.context() as earlier:
        earlier.setattr("mappings.fhir.practitioner_roles", lambda scene, radiologists: [])
        await take(pipeline)
    was, told = await current(engine), await outbox(engine)
    assert written(await take(pipeline)) == set()
    rendered = await pipeline.rerender(STUDY)
    assert {address.partition("/")[0] for address in written(rendered)} == {"PractitionerRole"}
    assert (await outbox(engine), rendered.change.causes) == (told, ())
    assert (await current(engine)).keys() - was.keys() == written(rendered)


async def test_rendering_anew_writes_the_new_look_tells_nothing_and_finds_by_it(engine):
    before, after = Pipeline(engine, SITE, UTC), Pipeline(engine, OTHER, ZoneInfo("Asia/Tokyo"))
    await take(before, report(), addendum())
    date = "SELECT DISTINCT low FROM moment WHERE key = ?"
    ((low,),) = await rows(engine, date, key("DiagnosticReport", "date"))
    rendered = await after.rerender(STUDY)
    assert REPORT in written(rendered)
    assert not rendered.change.causes
    wanted = mapped(said(report(), addendum()), OTHER)
    stored = {address: bare(one) for address, one in (await current(engine)).items()}
    assert {address: stored[address] for address in wanted} == wanted
    assert await rows(engine, date, key("DiagnosticReport", "date")) == [(low - 13 * 3600 * 1_000_000,)]
    assert sorted(await outbox(engine)) == [("3", "signed"), ("4", "addendum_signed")]


async def test_rendering_anew_finds_what_did_not_change_by_its_rows_of_now(engine):
    """Check the time zone of dates without one: it concerns the index alone."""
    day = report(snapshotMetadata=snapshot(facilityName="Nobody knows", studyTime=None))
    await take(Pipeline(engine, SITE, UTC), day)
    date = "SELECT low, high FROM moment WHERE key = ?"
    ((low, high),) = await rows(engine, date, key("DiagnosticReport", "date"))
    rendered = await Pipeline(engine, SITE, ZoneInfo("Asia/Tokyo")).rerender(STUDY)
    assert written(rendered) == set()
    shift = 9 * 3600 * 1_000_000
    assert await rows(engine, date, key("DiagnosticReport", "date")) == [(low - shift, high - shift)]


async def test_what_the_mapping_makes_no_more_ends_when_it_is_rendered_anew(engine):
    """Check sections, which are Observations: another site may not send those of a draft."""
    shows = parse_site("[mapping]\nsend_drafts = true\n")
    draft = report(status="in_progress", signedAt=None)
    sections = f"Observation/rep-{'3' * 32}-s"
    await take(Pipeline(engine, shows, UTC), draft)
    assert {one["status"] for one in (await current(engine, sections)).values()} == {"preliminary"}
    await Pipeline(engine, parse_site(""), UTC).rerender(STUDY)
    ended = await current(engine, sections)
    assert {one["status"] for one in ended.values()} == {"cancelled"}
    again = await Pipeline(engine, parse_site(""), UTC).rerender(STUDY)
    assert written(again) == set()
    assert len(await contents(engine, next(iter(ended)))) == 2
