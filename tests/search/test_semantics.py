"""Semantics of searches, row by row of the facade's contract: https://hl7.org/fhir/R4/search.html, decision D30.

All of the sandbox is in the index; the expected matches are computed from the resources themselves.
"""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from fakes.crawled import BASE, World, asked_for, entries, ids, interval, issues, links
from fakes.outcomes import issue, refusal

from gateway.fhir_api.http.summary import SUBSETTED
from gateway.store.studies import search_plan

pytestmark = pytest.mark.asyncio(loop_scope="session")
STRICT = {"Prefer": "handling=strict"}
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
ERROR = "https://autoscribe-gateway.example/fhir/CodeSystem/error"


@pytest.fixture
def patient(world: World) -> str:
    """The patient of most reports."""
    every = [one["subject"]["reference"] for one in world.resources["DiagnosticReport"]]
    return max(every, key=every.count)


def of_patient(world: World, patient: str, resource_type: str = "DiagnosticReport"):
    return [one for one in world.resources[resource_type] if one["subject"]["reference"] == patient]


def own(bundle):
    """Return the issues of a Bundle, without mapping issues."""
    return [one for one in issues(bundle) if one.get("details", {}).get("coding", [{}])[0].get("system", "") == ERROR]


# --- tokens


async def test_not_finds_the_others(world, patient):
    every = of_patient(world, patient)
    bundle = await world.bundle(f"DiagnosticReport?patient={patient}&status:not=final&_count=500")
    assert set(ids(bundle)) == {one["id"] for one in every if one["status"] != "final"}
    neither = await world.bundle("DiagnosticReport?date=ge2000&status:not=final,appended&_count=500")
    statuses = {one["status"] for one in entries(neither)}
    assert statuses == {one["status"] for one in world.resources["DiagnosticReport"]} - {"final", "appended"}


@pytest.mark.parametrize(("name", "element"), [("issued", "issued"), ("result", "result"), ("status", "status")])
async def test_missing_finds_what_says_nothing(world, name, element):
    for value, is_there in (("true", False), ("false", True)):
        bundle = await world.bundle(f"DiagnosticReport?date=ge2000&{name}:missing={value}&_count=500")
        wanted = {one["id"] for one in world.resources["DiagnosticReport"] if (element in one) == is_there}
        assert set(ids(bundle)) == wanted
    assert refusal(await world.get(f"DiagnosticReport?date=ge2000&{name}:missing=perhaps")) == (400, "error", "invalid")


async def test_text_finds_words_beside_a_code(world):
    for one in world.some("DiagnosticReport", 5):
        text = one["code"].get("text", "").split()
        if text:
            query = f"DiagnosticReport?patient={asked_for(one, 'patient')}&code:text={text[-1].lower()}"
            assert one["id"] in ids(await world.bundle(query))
    none = await world.bundle("DiagnosticReport?date=ge2000&code:text=no-procedure-has-this")
    assert ids(none) == []


async def test_of_type_finds_an_identifier_of_a_type(world):
    [one] = [one for one in world.some("Patient") if one["identifier"][0].get("type")][:1]
    coding = one["identifier"][0]["type"]["coding"][0]
    value = one["identifier"][0]["value"]
    found = await world.bundle(f"Patient?identifier:of-type={coding['system']}|{coding['code']}|{value}")
    assert ids(found) == [one["id"]]
    other = await world.bundle(f"Patient?identifier:of-type={V2_0203}|XX|{value}")
    assert ids(other) == []
    for wrong in (value, f"|MR|{value}", f"{V2_0203}|MR|", f"{V2_0203}|MR"):
        assert refusal(await world.get(f"Patient?identifier:of-type={wrong}")) == (400, "error", "invalid")


async def test_the_case_of_a_code_counts_except_in_loinc(world, patient):
    bundle = await world.bundle(f"DiagnosticReport?patient={patient}&category=rad")
    assert (ids(bundle), own(bundle)) == ([], [])
    every = await world.bundle(f"DiagnosticReport?patient={patient}&_count=500")
    for category in ("lp29684-5", "http://loinc.org|lp29684-5"):
        bundle = await world.bundle(f"DiagnosticReport?patient={patient}&category={category}&_count=500")
        assert ids(bundle) == ids(every)


async def test_a_code_that_an_element_cannot_have_finds_nothing_and_is_named(world, patient):
    bundle = await world.bundle(f"DiagnosticReport?patient={patient}&status=FINAL")
    [said] = own(bundle)
    assert ids(bundle) == []
    assert (said["severity"], said["code"], said["expression"]) == ("warning", "code-invalid", ["http.status"])
    rest = await world.bundle(f"DiagnosticReport?patient={patient}&status=FINAL,final")
    assert set(ids(rest)) == {one["id"] for one in of_patient(world, patient) if one["status"] == "final"}
    assert [one["detail"] for one in own(rest)] == ["unknown-code"]
    strict = await world.bundle(f"DiagnosticReport?patient={patient}&status=FINAL", headers=STRICT)
    assert ids(strict) == []


# --- references


async def test_a_patient_is_named_by_an_identifier(world):
    for one in world.some("Patient", 4):
        number = asked_for(one, "identifier")
        wanted = {report["id"] for report in of_patient(world, f"Patient/{one['id']}")}
        for name in ("patient:identifier", "patient.identifier", "subject.identifier", "patient:Patient.identifier"):
            assert wanted <= set(ids(await world.bundle(f"DiagnosticReport?{name}={number}&_count=500")))


async def test_what_is_asked_of_a_patient_by_a_chain_holds_of_the_patient(world):
    asked = {"patient.family": "family", "patient.given": "given", "patient.birthdate": "birthdate"}
    for one in world.some("Patient", 5):
        for chain, name in asked.items():
            if value := asked_for(one, name):
                wanted = world.expected("Patient", [(name, value)])
                bundle = await world.bundle(f"DiagnosticReport?{chain}={value}&_count=500")
                found = {report["id"] for report in entries(bundle)}
                assert found == {
                    report["id"]
                    for report in world.resources["DiagnosticReport"]
                    if report["subject"]["reference"].partition("/")[2] in wanted
                }


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("patient=Patient/", "invalid"),
        ("patient=a b", "invalid"),
        (f"patient={BASE}/Patient/", "invalid"),
        ("patient:Practitioner=usr-1", "not-supported"),
        ("patient.phone=x", "not-supported"),
        ("patient.address=x&media=y", "not-supported"),
        ("status.name=x", "not-supported"),
        ("patient:Practitioner.name=x", "not-supported"),
        ("patient.identifier:contains=x", "not-supported"),
    ],
)
async def test_a_reference_that_leads_nowhere_is_refused(world, query, code):
    assert refusal(await world.get(f"DiagnosticReport?{query}")) == (400, "error", code)


async def test_a_reference_of_another_base_or_type_finds_nothing(world, patient):
    for value in (f"https://elsewhere.example/{patient}", "urn:uuid:1", "Practitioner/usr-1"):
        bundle = await world.bundle(f"DiagnosticReport?patient={value}")
        assert (ids(bundle), own(bundle)) == ([], [])


# --- strings


async def test_a_name_is_found_from_the_start_of_its_text_or_of_a_part_whatever_its_case_and_accents(world):
    for one in world.some("Practitioner", 8):
        name = one["name"][0]
        for part in (name["text"], name["family"], *name["given"]):
            for asked in (part, part.upper(), part[:2].lower()):
                assert one["id"] in await world.check("Practitioner", [("name", asked.replace(",", r"\,"))])
    [accented] = [one for one in world.resources["Practitioner"] if "José" in one["name"][0]["text"]]
    for asked in ("jose", "JOSÉ", "nunez", "Nún"):
        assert accented["id"] in await world.check("Practitioner", [("name", asked)])


async def test_exact_and_contains_say_how_much_of_a_name_is_meant(world):
    one = next(one for one in world.resources["Patient"] if one["name"][0].get("family", "").isalpha())
    family = one["name"][0]["family"]
    same = {other["id"] for other in world.resources["Patient"] if other["name"][0].get("family") == family}
    assert set(ids(await world.bundle(f"Patient?family:exact={family}&_count=500"))) == same
    assert ids(await world.bundle(f"Patient?family:exact={family.swapcase()}")) == []
    inside = await world.bundle(f"Patient?family:contains={family[2:5]}&birthdate=ge1900&_count=500")
    assert one["id"] in ids(inside)
    assert refusal(await world.get(f"Patient?family:contains={family[2:5]}")) == (400, "error", "too-costly")


# --- dates

PRECISIONS = ("2026", "2026-01", "2026-01-20", "2026-01-20T19:27Z", "2026-01-20T19:27:00Z", "2026-01-20T14:27:00-05:00")


@pytest.mark.parametrize("prefix", ["", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb"])
async def test_a_date_is_an_interval_at_each_precision(world, prefix, patient):
    hits = 0
    for value in (*PRECISIONS, "2026-01-21", "2026-01-21T02:00:00Z"):
        for beside in ([("patient", patient)], [("_lastUpdated", "ge2000")]):
            hits += len(await world.check("DiagnosticReport", [*beside, ("date", f"{prefix}{value}")]))
            hits += len(await world.check("DiagnosticReport", [*beside, ("issued", f"{prefix}{value}")]))
    assert hits


async def test_about_a_date_is_a_tenth_of_how_long_ago_it_is_to_both_sides(world, patient):
    [one, *_] = of_patient(world, patient)
    for value in (one["effectiveDateTime"][:10], "2026-01", "2026"):
        bundle = await world.bundle(f"DiagnosticReport?patient={patient}&date=ap{value}")
        assert one["id"] in ids(bundle)
    assert ids(await world.bundle(f"DiagnosticReport?patient={patient}&date=ap1990-01-01")) == []


async def test_a_day_is_one_of_the_zone_of_the_site(world):
    """CONF-0059 to CONF-0062: a date without an offset; and where an offset is written, that counts."""
    state = world.stage.app.state
    serving = state.facade
    [one, *_] = [one for one in world.resources["DiagnosticReport"] if one["effectiveDateTime"][10:13] == "T19"]
    local = one["effectiveDateTime"][:10]
    day_after = f"{local[:8]}{int(local[8:]) + 1:02}"
    assert one["effectiveDateTime"][16:] == ":00-06:00"

    async def found(*values):
        return [one["id"] in ids(await world.bundle(f"DiagnosticReport?_id={one['id']}&date={it}")) for it in values]

    asked = (local, day_after, one["effectiveDateTime"][:16], f"ge{day_after}T00:00:00Z", f"{local}T00:00:00-06:00")
    in_utc = await found(*asked)
    state.facade = replace(serving, zone=ZoneInfo("America/Chicago"))
    try:
        in_chicago = await found(*asked)
    finally:
        state.facade = serving
    assert in_utc == [False, True, False, True, False]
    assert in_chicago == [True, False, True, True, False]


@pytest.mark.parametrize(
    "value", ["2026-13", "2026-02-30", "26", "ge", "xx2026", "2026-01-20T25:00", "20260120", "now"]
)
async def test_what_is_no_date_is_refused_in_both_modes(world, value):
    for headers in ({}, STRICT):
        response = await world.get(f"DiagnosticReport?patient=pat-1&date={value}", headers=headers)
        assert refusal(response) == (400, "error", "invalid")
        assert issue(response)["expression"] == ["http.date"]


# --- unknown, unsupported, and malformed parameters


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ("colour=blue", "colour"),
        ("patient.colour=blue", "patient.colour"),
        ("_include=DiagnosticReport:media", "_include"),
        ("_include=Patient:organization", "_include"),
        ("_revinclude=Observation:performer", "_revinclude"),
        ("_revinclude=Provenance:target:Patient", "_revinclude"),
        ("_sort=colour", "_sort"),
        ("_sort=-date,colour", "_sort"),
        ("_elements=colour", "_elements"),
    ],
)
async def test_what_is_not_known_is_left_out_and_named_and_refused_to_who_is_strict(world, patient, extra, name):
    query = f"DiagnosticReport?patient={patient}"
    bundle = await world.bundle(f"{query}&{extra}")
    [said] = own(bundle)
    assert (said["severity"], said["code"], said["expression"]) == ("warning", "not-supported", [f"http.{name}"])
    assert sorted(ids(bundle)) == sorted(one["id"] for one in of_patient(world, patient))
    if name != "_elements":
        assert "colour" not in links(bundle)["self"]
        assert extra.partition("=")[2] not in links(bundle)["self"]
    refused = await world.get(f"{query}&{extra}", headers=STRICT)
    assert refusal(refused) == (400, "error", "not-supported")
    assert issue(refused)["expression"] == [f"http.{name}"]


async def test_what_is_used_of_a_sort_stays_in_the_self_link(world, patient):
    bundle = await world.bundle(f"DiagnosticReport?patient={patient}&_sort=-date,colour,status&status=final")
    assert links(bundle)["self"].endswith(f"patient={patient}&status=final&_sort=-date,status")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "colour=blue",
        "patient=",
        "status=final",
        "category=LP29684-5&code=18748-4",
        "status:not=final&issued:missing=true",
        "date=ne2020",
        "category=http://loinc.org|",
        "_include=DiagnosticReport:subject",
        "_count=10&_sort=date",
        "critical=true",
        "performer=usr-1",
        "imagingStudy.modality=CT",
    ],
)
async def test_a_search_that_nothing_narrows_is_refused_even_to_who_is_lenient(world, query):
    for headers in ({}, {"Prefer": "handling=lenient"}):
        assert refusal(await world.get(f"DiagnosticReport?{query}", headers=headers)) == (400, "error", "too-costly")


async def unsure_searches(world):
    """Return searches that only the index can bound, each with the ids of what it finds."""
    coded = {row["code"]["coding"][-1]["code"] for row in world.resources["DiagnosticReport"]}
    made = []
    for code in sorted(coded)[:6]:
        subjects = {
            one["subject"]["reference"].partition("/")[2]
            for one in world.resources["DiagnosticReport"]
            if code in [coding["code"] for coding in one["code"]["coding"]]
        }
        made.append((f"Patient?_has:DiagnosticReport:patient:code={code}", subjects))
    systems = {number["system"] for one in world.resources["Patient"] for number in one["identifier"]}
    for system in sorted(systems):
        having = {
            one["id"]
            for one in world.resources["Patient"]
            if system in [number["system"] for number in one["identifier"]]
        }
        made.append((f"Patient?identifier={system}|", having))
        reports = {
            one["id"]
            for one in world.resources["DiagnosticReport"]
            if one["subject"]["reference"].partition("/")[2] in having
        }
        made.append((f"DiagnosticReport?patient.identifier={system}|", reports))
    return [*made, ("DiagnosticReport?identifier=urn:x|", set()), ("Patient?_has:Observation:patient:code=x", set())]


async def test_a_code_behind_has_and_any_number_of_a_system_are_asked_for_alone(world):
    asked = await unsure_searches(world)
    assert sum(bool(wanted) for _, wanted in asked) > 8
    for query, wanted in asked:
        bundle = await world.bundle(f"{query}&_count=500")
        assert set(ids(bundle)) == wanted, query
        assert (await world.bundle(f"{query}&_summary=count"))["total"] == len(wanted)
        for sort in ("_id", "-_lastUpdated"):
            seen, url = [], f"{BASE}/{query}&_count=7&_sort={sort}"
            while url and wanted:
                page = (await world.stage.client.get(url)).json()
                seen += ids(page)
                url = links(page).get("next")
            assert sorted(seen) == sorted(wanted), query


async def test_what_too_many_may_meet_is_refused_unless_the_first_in_the_order_match(world, monkeypatch):
    monkeypatch.setattr(search_plan, "ROUNDS", (3,))
    answered, refused = [], []
    for query, wanted in await unsure_searches(world):
        if len(wanted) > 3:
            response = await world.get(f"{query}&_count=1")
            (answered if response.status_code == 200 else refused).append(response)
    assert answered
    assert {refusal(one) for one in refused} == {(400, "error", "too-costly")}
    for one in answered:
        assert len(ids(one.json())) == 1


@pytest.mark.parametrize(
    "query", ["_lastUpdated=ge2000", "date=ge2000", "issued=ge2000", "signed=ge2000", "imagingStudy.started=ge2000"]
)
async def test_a_window_of_time_narrows(world, query):
    assert ids(await world.bundle(f"DiagnosticReport?{query}&status=final"))


@pytest.mark.parametrize(
    "extra",
    [
        "status:exact=final",
        "status:text=final",
        "patient:contains=x",
        "date:exact=2026",
        "_id:not=rep-1",
        "_count:exact=3",
        "_include:recurse=DiagnosticReport:subject",
        "_revinclude:iterate=Provenance:target",
        "_include:iterate=*",
        "_revinclude=Provenance:*",
        "status:=final",
    ],
)
async def test_a_modifier_that_is_not_offered_is_refused_in_both_modes(world, extra):
    for headers in ({}, STRICT):
        response = await world.get(f"DiagnosticReport?patient=pat-1&{extra}", headers=headers)
        assert refusal(response) == (400, "error", "not-supported")


@pytest.mark.parametrize(
    ("extra", "expression"),
    [
        ("_count=-1", "http._count"),
        ("_count=many", "http._count"),
        ("_count=1.5", "http._count"),
        ("_count=9999999999", "http._count"),
        ("_total=all", "http._total"),
        ("_summary=some", "http._summary"),
        ("_summary=true&_elements=status", "http._elements"),
        ("_elements=code.text", "http._elements"),
        ("_sort=date,-date,issued,-issued,status,-status", "http._sort"),
        ("_pretty=yes", "http._pretty"),
        ("_explain=1", "http._explain"),
        ("_contained=true", "http._contained"),
        ("critical=perhaps", "http.critical"),
        ("status=|", "http.status"),
        ("status=,", "http.status"),
        ("_id=rep_1", "http._id"),
    ],
)
async def test_a_malformed_value_is_refused_in_both_modes(world, extra, expression):
    for headers in ({}, STRICT):
        response = await world.get(f"DiagnosticReport?patient=pat-1&{extra}", headers=headers)
        assert refusal(response) == (400, "error", "invalid")
        assert issue(response)["expression"] == [expression]


async def test_an_empty_parameter_is_as_if_it_were_not_there(world, patient):
    bundle = await world.bundle(f"DiagnosticReport?status=&patient={patient}&date=&colour=", headers=STRICT)
    assert sorted(ids(bundle)) == sorted(one["id"] for one in of_patient(world, patient))
    assert (links(bundle)["self"], own(bundle)) == (f"{BASE}/DiagnosticReport?patient={patient}", [])


async def test_too_many_parameters_or_values_are_too_much_at_once(world):
    codes = ",".join(f"code-{number}" for number in range(101))
    together = "&".join([f"code={','.join(f'c-{number}' for number in range(90))}"] * 4)
    for query in ("&".join(["status=final"] * 31), f"status=final&code={codes}", together):
        assert refusal(await world.get(f"DiagnosticReport?patient=pat-1&{query}")) == (400, "error", "too-costly")


# --- content of an answer


async def test_the_total_is_of_matches_alone(world, patient):
    number = len(of_patient(world, patient))
    for extra in (
        "",
        "&_count=1&_total=accurate",
        "&_total=accurate",
        "&_total=estimate&_count=1",
        "&_include=DiagnosticReport:result",
    ):
        assert (await world.bundle(f"DiagnosticReport?patient={patient}{extra}"))["total"] == number
    for extra in ("&_total=none", "&_total=none&_count=1", "&_count=1"):
        assert "total" not in await world.bundle(f"DiagnosticReport?patient={patient}{extra}")
    every = await world.bundle("DiagnosticReport?date=ge2000&_count=3&_total=accurate")
    assert every["total"] == len(world.resources["DiagnosticReport"])


async def test_a_count_of_zero_is_a_summary_count(world, patient):
    number = len(of_patient(world, patient))
    for extra in ("_count=0", "_summary=count", "_count=0&_total=none", "_summary=count&_count=5"):
        bundle = await world.bundle(f"DiagnosticReport?patient={patient}&{extra}&_include=DiagnosticReport:result")
        assert (bundle["total"], ids(bundle), entries(bundle, "include")) == (number, [], [])
        assert list(links(bundle)) == ["self"]


async def test_that_more_to_a_page_is_asked_for_than_is_given_is_said_to_who_wants_an_explanation(world):
    bundle = await world.bundle("Observation?date=ge2000&_count=2000")
    assert (own(bundle), len(ids(bundle))) == ([], 500)
    said = own(await world.bundle("Observation?date=ge2000&_count=2000&_explain=true"))[0]
    assert (said["severity"], said["expression"]) == ("information", ["http._count"])
    enough = own(await world.bundle("Observation?date=ge2000&_count=500&_explain=true"))
    assert "count-cut" not in [one["detail"] for one in enough]


@pytest.mark.parametrize(
    ("extra", "there", "gone"),
    [
        ("_summary=true", {"status", "code", "subject", "effectiveDateTime"}, {"presentedForm", "text", "conclusion"}),
        ("_summary=text", {"status", "code", "subject", "text"}, {"presentedForm", "conclusion", "identifier"}),
        ("_summary=data", {"status", "code", "presentedForm"}, {"text"}),
        ("_elements=conclusion,id", {"status", "code", "subject", "conclusion"}, {"presentedForm", "text"}),
    ],
)
async def test_a_part_of_a_resource_is_marked_and_keeps_what_is_mandatory(world, extra, there, gone):
    report = next(one for one in world.resources["DiagnosticReport"] if "conclusion" in one and "identifier" in one)
    query = f"DiagnosticReport?_id={report['id']}&_include=DiagnosticReport:patient&{extra}"
    bundle = await world.bundle(query)
    [found], [beside] = entries(bundle), entries(bundle, "include")
    assert there <= set(found)
    assert not gone & set(found)
    assert SUBSETTED in found["meta"]["tag"]
    assert SUBSETTED in beside["meta"]["tag"]
    assert {key: report[key] for key in there} == {key: found[key] for key in there}


async def test_who_wants_all_of_a_resource_gets_it_as_it_is(world, patient):
    for extra in ("", "&_summary=false"):
        for one in entries(await world.bundle(f"DiagnosticReport?patient={patient}{extra}")):
            assert one == world.by_address[f"DiagnosticReport/{one['id']}"]


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("date", lambda one: one.get("effectiveDateTime")),
        ("_id", lambda one: one["id"]),
        ("status", lambda one: one["status"]),
        ("patient", lambda one: one["subject"]["reference"]),
        ("_lastUpdated", lambda one: one["meta"]["lastUpdated"]),
    ],
)
async def test_what_is_found_is_sorted(world, sort, key):
    bundle = await world.bundle(f"DiagnosticReport?_lastUpdated=ge2000&_sort={sort}&_count=500")
    values = [key(one) for one in entries(bundle)]
    if sort == "date":
        values = [instant(one) for one in values]
    assert values == sorted(values)
    back = await world.bundle(f"DiagnosticReport?_lastUpdated=ge2000&_sort=-{sort}&_count=500")
    others = [key(one) if sort != "date" else instant(key(one)) for one in entries(back)]
    assert others == sorted(values, reverse=True)


def instant(text):
    return interval(text)[0]


@pytest.mark.parametrize("way", ["", "-"])
async def test_one_sort_key_goes_before_another_and_what_says_nothing_comes_last(world, way):
    bundle = await world.bundle(f"DiagnosticReport?_lastUpdated=ge2000&_sort=status,{way}issued&_count=500")
    found = entries(bundle)
    statuses = [one["status"] for one in found]
    assert statuses == sorted(statuses)
    for status in set(statuses):
        issued = [one.get("issued") for one in found if one["status"] == status]
        dated = [instant(one) for one in issued if one]
        assert dated == sorted(dated, reverse=bool(way))
        assert issued[len(dated) :] == [None] * (len(issued) - len(dated))


async def test_an_explanation_says_how_and_shows_no_value(world, patient):
    bundle = await world.bundle(f"DiagnosticReport?patient={patient}&status=final&_explain=true")
    [said] = [one for one in own(bundle) if one["detail"] == "explanation"]
    assert said["severity"] == "information"
    for part in ("patient, status, _explain", "SELECT", "asked for 0", "kind Is", "read at once", "index age: "):
        assert part in said["diagnostics"]
    assert patient.partition("/")[2] not in said["diagnostics"]
    apart = await world.bundle("DiagnosticReport?date=ge2000&_explain=true&_count=1")
    assert "read apart" in own(apart)[-1]["diagnostics"]
    unasked = await world.bundle(f"DiagnosticReport?patient={patient}&_explain=false")
    assert "explanation" not in [one["detail"] for one in issues(unasked)]
