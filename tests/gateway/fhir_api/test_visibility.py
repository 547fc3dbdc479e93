"""Clients that see some of the data, over the whole facade: what is hidden is as if it were not there; decision D41.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from itertools import islice

import httpx
import pytest
import pytest_asyncio
from fakes.answered import with_orders
from fakes.facade import BASE, facade, resource_id
from fakes.store import made, rows, write

import gateway.ingest.map_study as mapping
from gateway.auth.access import ACCESS, Access
from gateway.auth.scopes import scope_list
from gateway.fhir_api import routes
from gateway.fhir_api.as_seen import without_stamp
from gateway.fhir_api.http.budget import Budget
from gateway.fhir_api.served import BY_TYPE, IN_COMPARTMENT, OPERATIONS, RESOURCES
from gateway.index.keys import key
from gateway.store.studies import search as store

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE, THERE = "Sandbox General Hospital", "Sandbox Lakeside Imaging"
EVERYTHING = "system/*.cruds system/DiagnosticReport.$addendum"
OWNED = (
    *("DiagnosticReport", "Observation", "ImagingStudy", "DocumentReference", "ServiceRequest", "Encounter"),
    "Provenance",
)
OF_SEVERAL = ("Patient", "Practitioner", "Organization", "PractitionerRole")
JSON = {"Content-Type": "application/fhir+json"}


class Ward:
    """A facade that has read studies of two facilities, and requests by clients with any access."""

    def __init__(self, stage, here, there):
        self.stage, self.here, self.there = stage, here, there

    async def ask(self, access, path, method="GET", **more):
        app = self.stage.app

        async def with_access(scope, receive, send):
            await app(scope if access is None else {**scope, ACCESS: access}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(with_access)) as client:
            url = path if path.startswith("http") else f"{BASE}/{path}".removesuffix("/")
            return await client.request(method, url, **more)

    async def found(self, access, path):
        """Return the addresses of what a search finds, over all pages, and the last total."""
        addresses, total = [], None
        url = path
        while url:
            answer = await self.ask(access, url)
            assert answer.status_code == 200, answer.text
            bundle = answer.json()
            resources = [one["resource"] for one in bundle.get("entry", ())]
            addresses += [f"{one['resourceType']}/{one['id']}" for one in resources if "id" in one]
            total = bundle.get("total", total)
            url = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), None)
        return addresses, total


def at(*facilities, scopes=EVERYTHING, patient=None):
    return Access("client-a", scope_list(scopes), frozenset(facilities) or None, 0, None, patient)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "to_fhir", with_orders)
        async with opened() as made:
            yield made


@asynccontextmanager
async def opened():
    """Open the ward; each study answers an order of a visit."""
    async with facade() as stage:
        ward = Ward(stage, [], [])
        for name, reports in ((HERE, ward.here), (THERE, ward.there)):
            of_facility = (
                report
                for report in stage.reports(status="completed", isAddendum=False)
                if report["snapshotMetadata"].get("facilityName") == name and report.get("reportPlainText")
            )
            for report in islice(of_facility, 12):
                answer = await ward.ask(None, f"DiagnosticReport/{resource_id(report)}")
                assert answer.status_code == 200
                if all("reference" in one for one in answer.json()["performer"]):
                    reports.append(answer.json())
        yield ward


async def resources_about(ward, report):
    """Return the address of a resource of every type around a report."""
    report_id = report["id"]
    found, _ = await ward.found(None, f"{report['subject']['reference']}/$everything?_count=500")
    of_study = report["imagingStudy"][0]["reference"]
    own = [one for one in found if report_id in one or one.partition("/")[2].startswith(of_study.partition("/")[2])]
    by_type = {one.partition("/")[0]: one for one in own}
    by_type |= {one["reference"].partition("/")[0]: one["reference"] for one in report["performer"]}
    roles, _ = await ward.found(None, f"PractitionerRole?practitioner={by_type['Practitioner']}")
    by_type["PractitionerRole"] = next(one for one in roles)
    by_type["Patient"] = report["subject"]["reference"]
    by_type["Binary"] = f"Binary/{report_id}-text"
    by_type.setdefault("Observation", f"Observation/{report_id}-s1")
    by_type.setdefault("ServiceRequest", f"ServiceRequest/{of_study.partition('/')[2]}-req")
    return by_type


def unknown(address):
    """Return an address of the same form that nothing has."""
    return re.sub(r"[0-9a-f]{32}", "0" * 31 + "f", address)


def paths_to(address):
    """Yield every way to name a resource: method, path, and what goes with it."""
    kind = address.partition("/")[0]
    yield "GET", address, {}
    yield "GET", address, {"headers": {"If-None-Match": 'W/"1"'}}
    yield "GET", address, {"headers": {"Cache-Control": "no-cache"}}
    if kind == "Binary":
        yield "GET", address.replace("-text", "-pdf"), {}
        yield "GET", address, {"headers": {"Accept": "application/fhir+json"}}
    else:
        yield "GET", f"{address}/_history", {}
        yield "GET", f"{address}/_history/1", {}
        if kind == "Patient":
            for searched in IN_COMPARTMENT:
                yield "GET", f"{address}/{searched}", {}
        yield "GET", f"{kind}?_id={address.partition('/')[2]}&_total=accurate&_explain=true", {}
    for operation in OPERATIONS:
        if kind in operation.resource_types and "instance" in operation.levels:
            inputs = "?receiver=generic" if operation.name in {"hl7v2", "trace"} else ""
            headers = {"Idempotency-Key": address} if operation.affects_state else {}
            yield operation.methods[0], f"{address}/${operation.name}{inputs}", {"headers": headers}
    for name in ("patient", "subject", "performer", "imagingStudy", "author", "target", "practitioner", "organization"):
        for searched in (*OWNED, "PractitionerRole"):
            yield "GET", f"{searched}?{name}={address}&_lastUpdated=ge2000&_total=accurate", {}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": address}}]}
    yield "POST", "", {"json": batch, "headers": JSON}


def told(answer, address):
    """Return what an answer tells, with the id and what changes from request to request replaced."""
    text = re.sub(r"page=[\w-]+|_page=[\w-]+", "_page", answer.text.replace(address.partition("/")[2], "ID"))
    text = text.replace(address.partition("/")[2].replace("-", "_", 1), "ID")
    text = re.sub(r"[0-9a-f]{32}", "ID", text) if address.partition("/")[2][4:36] in text else text
    headers = {k: v for k, v in answer.headers.items() if k not in {"date", "x-request-id", "content-length", "age"}}
    return answer.status_code, headers, re.sub(r'"(timestamp|lastUpdated|id)":"[^"]+"', "", text)


LIMITED = {
    "facility": at(HERE),
    "facility, in other words": at("sandbox  GENERAL hospital"),
    "refinement": None,
    "patient": None,
}


def limited(ward, kind):
    """Return an access that hides everything of the other facility."""
    if kind == "patient":
        scopes = "patient/*.cruds system/DiagnosticReport.$addendum"
        return at(scopes=scopes, patient=ward.here[0]["subject"]["reference"].partition("/")[2])
    if kind == "refinement":
        ids = ",".join(one["id"] for one in ward.here)
        own = [f"system/{one}.rs?_id={ids}" for one in (*OWNED, *OF_SEVERAL)]
        return at(scopes=" ".join([*own, "system/Binary.r", "system/DiagnosticReport.$addendum"]))
    return LIMITED[kind]


@pytest.mark.full
@pytest.mark.parametrize("kind", LIMITED)
async def test_hidden_and_unknown_resources_are_answered_alike_on_every_path(ward, kind):
    access, tried = limited(ward, kind), set()
    hidden = await resources_about(ward, ward.there[0])
    assert set(hidden) == set(BY_TYPE)
    for address in hidden.values():
        if kind != "refinement" and address.startswith("Practitioner/"):
            continue  # the radiologist may report for both facilities: see the next test
        for (method, path, more), (_, other, again) in zip(paths_to(address), paths_to(unknown(address)), strict=True):
            answer, wanted = (
                await ward.ask(access, path, method, **more),
                await ward.ask(access, other, method, **again),
            )
            assert told(answer, address) == told(wanted, unknown(address)), (method, path)
            tried.add(path.partition("?")[0])
    assert len(tried) > 50


@pytest.mark.parametrize("kind", LIMITED)
async def test_what_the_client_sees_is_answered(ward, kind):
    access = limited(ward, kind)
    assert (await ward.ask(access, f"DiagnosticReport/{ward.here[0]['id']}")).status_code == 200
    assert (await ward.ask(access, f"Binary/{ward.here[0]['id']}-text")).status_code == 200
    shown, _ = await ward.found(access, f"DiagnosticReport?_id={ward.here[0]['id']}")
    assert shown == [f"DiagnosticReport/{ward.here[0]['id']}"]
    assert (await ward.ask(access, f"DiagnosticReport/{ward.here[0]['id']}/$trace")).status_code == 200


@pytest.mark.full
@pytest.mark.parametrize("kind", OWNED)
async def test_a_search_finds_and_counts_what_is_of_the_facilities_alone(ward, kind):
    query = f"{kind}?_lastUpdated=ge2000&_count=3&_total=accurate"
    every, number = await ward.found(None, query)
    mine, count = await ward.found(at(HERE), query)
    theirs, others = await ward.found(at(THERE), query)
    both, of_both = await ward.found(at(HERE, THERE), query)
    assert mine
    assert theirs
    assert not set(mine) & set(theirs)
    assert (count, others, of_both) == (len(mine), len(theirs), len(both))
    assert set(mine) | set(theirs) <= set(both) == set(every)
    assert number == len(every)
    assert mine == [one for one in every if one in set(mine)]


async def test_for_a_client_of_facilities_what_it_sees_is_counted(ward):
    query = "Observation?_lastUpdated=ge2000&_count=1"
    assert "total" not in (await ward.ask(at(HERE), query)).json()
    assert (await ward.ask(at(HERE), f"{query}&_total=accurate")).json()["total"] > 1
    assert (await ward.ask(at(HERE), f"{query}&_summary=count")).json()["total"] > 1


async def test_people_and_places_are_visible_while_a_visible_report_refers_to_them(ward):
    wanted = {one["subject"]["reference"] for one in ward.here}
    wanted |= {row["reference"] for one in ward.here for row in one["performer"] if "reference" in row}
    for one in (*ward.here, *ward.there):
        for address in (
            one["subject"]["reference"],
            *(row["reference"] for row in one["performer"] if "reference" in row),
        ):
            status = (await ward.ask(at(HERE), address)).status_code
            assert status == (200 if address in wanted else 404), address


async def test_people_and_places_have_no_version_and_no_time_for_a_client_of_a_facility(ward):
    about = await resources_about(ward, ward.here[0])
    for kind in OF_SEVERAL:
        answer = await ward.ask(at(HERE), about[kind])
        assert answer.status_code == 200
        assert "last-modified" not in answer.headers
        assert not {"versionId", "lastUpdated"} & set(answer.json().get("meta", {}))
        again = await ward.ask(at(HERE), about[kind], headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        whole = (await ward.ask(None, about[kind])).json()
        for name in ("versionId", "lastUpdated"):
            del whole["meta"][name]
        whole = {name: value for name, value in whole.items() if value}
        assert answer.json() == whole
        for path in (f"{about[kind]}/_history", f"{about[kind]}/_history/1"):
            assert (await ward.ask(at(HERE), path)).status_code == 404
        for query in (f"{kind}?_lastUpdated=ge2000", f"{kind}?_id=x&_sort=_lastUpdated"):
            assert (await ward.ask(at(HERE), query)).status_code == 400


async def test_a_client_of_a_facility_finds_patients_by_id_and_by_the_number_that_is_their_key(ward):
    mine, theirs = [(await ward.ask(None, one[0]["subject"]["reference"])).json() for one in (ward.here, ward.there)]
    for patient, is_found in ((mine, True), (theirs, False)):
        number = patient["identifier"][0]
        text = f"{number['system']}|{number['value']}"
        wanted = [f"Patient/{patient['id']}"] if is_found else []
        assert (await ward.found(at(HERE), f"Patient?identifier={text}"))[0] == wanted
        assert (await ward.found(at(HERE), f"Patient?_id={patient['id']}"))[0] == wanted
        for name in ("patient.identifier", "patient:identifier"):
            reports, _ = await ward.found(at(HERE), f"DiagnosticReport?{name}={text}")
            assert bool(reports) is is_found
    for query in (
        "Patient?name=a",
        "Patient?birthdate=2000",
        "Patient?identifier=1",
        "Patient?identifier:of-type=a|b|1",
        "Patient?_id=x&_sort=name",
        "Patient?_id=x&_include=Patient:organization",
        "Organization?name=sandbox&_revinclude=Patient:organization",
        "DiagnosticReport?patient.name=a",
        "DiagnosticReport?patient:identifier=1",
    ):
        assert (await ward.ask(at(HERE), query)).status_code == 400, query


async def test_a_limited_client_sees_the_current_version_alone(ward):
    address, engine = f"DiagnosticReport/{ward.here[0]['id']}", ward.stage.app.state.facade.engine
    stored = (await store.current(engine, [address]))[address]
    terms = [("patient", ward.here[0]["subject"]["reference"])]
    terms += [("performer", one["reference"]) for one in ward.here[0]["performer"]]
    body = without_stamp(stored.body)
    for number in (2, 3):
        changed = body.replace(b'"final"', b'"amended"') if number == 2 else body
        head, _, tail = changed.partition(b'"meta":{')
        again = made(
            address,
            owner=(await rows(engine, "SELECT owner FROM resource WHERE address = ?", address))[0][0],
            as_of=stored.updated + number,
            head=head + b'"meta":{',
            tail=b"," + tail,
            terms=[(key("DiagnosticReport", name), value) for name, value in terms],
        )
        await write(engine, again, now=stored.updated + number)
    whole = (await ward.ask(None, f"{address}/_history")).json()
    assert whole["total"] == 3
    for kind in LIMITED:
        access = limited(ward, kind)
        history = (await ward.ask(access, f"{address}/_history")).json()
        assert history["total"] == 1
        assert [one["resource"]["meta"]["versionId"] for one in history["entry"]] == ["3"]
        assert (await ward.ask(access, f"{address}/_history?_since=2999-01-01")).json()["total"] == 0
        assert (await ward.ask(access, f"{address}/_history/3")).status_code == 200
        assert (await ward.ask(access, f"{address}/_history/2")).status_code == 404
        assert (await ward.ask(access, f"{address}/_history/1")).status_code == 404


async def test_everything_of_a_patient_is_what_lies_within_the_limits(ward):
    patient = ward.here[0]["subject"]["reference"]
    every, _ = await ward.found(None, f"{patient}/$everything?_count=2")
    mine, _ = await ward.found(at(HERE), f"{patient}/$everything?_count=2")
    own, _ = await ward.found(limited(ward, "patient"), f"{patient}/$everything?_count=2")
    assert len(set(mine)) == len(mine)
    assert set(mine) == set(every) == set(own)
    for access in (at(THERE), at("nowhere")):
        assert (await ward.ask(access, f"{patient}/$everything")).status_code == 404


async def test_everything_goes_over_nothing_that_the_client_does_not_see(ward):
    patient = ward.here[0]["subject"]["reference"]
    access = at(scopes="system/Organization.r system/Patient.rs system/Provenance.rs")
    own, _ = await ward.found(access, f"{patient}/$everything")
    managing = (await ward.ask(None, patient)).json()["managingOrganization"]["reference"]
    sources, _ = await ward.found(None, f"Provenance?target={patient}")
    assert set(own) == {patient, managing, *sources}
    access = at(scopes="system/Patient.r system/Provenance.r system/DiagnosticReport.r?_id=rep-other")
    assert set((await ward.found(access, f"{patient}/$everything"))[0]) == {patient, *sources}


async def test_a_page_link_is_worth_nothing_with_other_limits(ward):
    first = (await ward.ask(at(HERE), "Observation?_lastUpdated=ge2000&_count=1")).json()
    [following] = [one["url"] for one in first["link"] if one["relation"] == "next"]
    assert (await ward.ask(at(HERE), following)).status_code == 200
    assert (await ward.ask(at(THERE), following)).status_code == 400
    assert (await ward.ask(at(), following)).status_code == 400


async def test_a_chain_and_has_go_over_visible_resources_alone(ward):
    there = ward.there[0]
    reader = next(one["reference"] for one in there["performer"] if one["reference"].startswith("Practitioner"))
    name = (await ward.ask(None, reader)).json()["name"][0]["family"]
    scopes = "system/DiagnosticReport.rs system/Practitioner.rs?_id=usr-other system/Provenance.rs?_id=rep-other"
    for query in (
        f"DiagnosticReport?performer:Practitioner.name={name}",
        "DiagnosticReport?_has:Provenance:target:recorded=ge2000",
    ):
        path = f"{query}&_lastUpdated=ge2000"
        assert (await ward.found(None, path))[0]
        assert (await ward.found(at(scopes=scopes), path))[0] == []


async def test_the_documents_of_the_api_show_nothing_hidden(ward):
    for name in ("/docs", "/openapi.json"):
        for access, reports in ((at(HERE), ward.there), (at(THERE), ward.here), (at("nowhere"), ward.here)):
            page = (await ward.ask(access, f"http://127.0.0.1:8800{name}")).text
            assert not any(one["id"] in page for one in reports)


async def test_nothing_is_said_of_how_many_studies_there_are(ward):
    text = (await ward.ask(at(HERE), "DiagnosticReport?_lastUpdated=ge2000&_explain=true")).text
    assert "studies so far" not in text
    assert "SELECT" not in text
    assert "SELECT" in (await ward.ask(None, "DiagnosticReport?_lastUpdated=ge2000&_explain=true")).text


def templates():
    """Return the path of every route of a resource type and of its operations."""
    for row in RESOURCES:
        yield from (one.path for one in routes._type_routes(row, Budget()))
    for row in OPERATIONS:
        if BY_TYPE.keys().isdisjoint(row.resource_types):  # of definitions, which are of no patient
            continue
        yield from (one.path for one in routes._operation_routes(row, Budget()))


async def test_the_paths_that_are_walked_are_those_of_all_routes_that_name_a_resource(ward):
    hidden = await resources_about(ward, ward.there[0])
    walked = {f"/{path.partition('?')[0]}" for address in hidden.values() for _, path, _ in paths_to(address)}
    named = [one for one in templates() if "{id}" in one]
    for template in named:
        pattern = re.escape(template).replace(r"\{id\}", "[^/]+").replace(r"\{version\}", "[0-9]+")
        assert any(re.fullmatch(pattern, path) for path in walked), template
    assert len(named) > 40
    # What names none is a search, or looks at the body alone
    others = {one.rpartition("/")[2] for one in templates() if "{id}" not in one} - set(BY_TYPE)
    assert others == {"_search", "_history", "$docref", "$validate"}


@pytest.mark.parametrize("kind", LIMITED)
async def test_a_history_of_a_type_or_of_the_system_has_what_the_client_sees_alone(ward, kind):
    access = limited(ward, kind)
    owned = await history(ward, access, "DiagnosticReport/_history")
    assert owned == (await ward.found(access, "DiagnosticReport?_lastUpdated=ge2000&_sort=-_lastUpdated"))[0]
    assert owned
    whole = await history(ward, access, "_history")
    assert [one for one in whole if one.startswith("DiagnosticReport/")] == owned
    hidden = await resources_about(ward, ward.there[0])
    assert not {hidden[one] for one in OWNED} & set(whole)
    if kind in {"facility", "facility, in other words"}:
        assert not [one for one in whole if one.partition("/")[0] in OF_SEVERAL]
        for shared in OF_SEVERAL:
            assert (await ward.ask(access, f"{shared}/_history")).status_code == 400


async def history(ward, access, path):
    """Return the addresses in a history, page by page."""
    found, url = [], f"{path}?_count=7"
    while url:
        bundle = (await ward.ask(access, url)).json()
        found += [f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in bundle.get("entry", ())]
        url = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), None)
    return found


async def test_has_and_chains_go_over_what_the_client_sees_alone(ward):
    access, mine, theirs = at(HERE), ward.here[6], ward.there[6]
    for report, is_seen in ((mine, True), (theirs, False)):
        asked = (
            f"_has:DiagnosticReport:performer:_id={report['id']}",
            f"_has:DiagnosticReport:performer:imagingStudy={report['imagingStudy'][0]['reference']}",
            f"_has:DiagnosticReport:performer:_has:Provenance:target:target=DiagnosticReport/{report['id']}",
        )
        counted = [len((await ward.found(access, f"Practitioner?{one}"))[0]) for one in asked]
        assert [bool(number) for number in counted] == [is_seen] * 3, asked
    orders = f"DocumentReference?related.imagingStudy={theirs['imagingStudy'][0]['reference']}"
    assert (await ward.found(access, orders))[0] == []


@pytest.mark.parametrize(
    "path",
    [
        "DiagnosticReport?patient.gender=female",
        "DiagnosticReport?based-on.patient.family=a",
        "Organization?_has:Patient:organization:gender=female&name=sandbox",
        "Patient?organization.name=sandbox",
        "Practitioner?_has:DiagnosticReport:performer:patient.birthdate=ge1900",
        "Patient?_has:DiagnosticReport:patient:patient.name=a",
        "DiagnosticReport?patient.organization.name=a",
    ],
)
async def test_no_chain_and_no_has_asks_for_what_the_stored_patient_says(ward, path):
    answer = await ward.ask(at(HERE), f"{path}&_lastUpdated=ge2000" if "Report?" in path else path)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["code"] == "not-supported"
    assert (await ward.ask(None, path.replace("gender", "_id"))).status_code == 200


async def test_a_chain_to_the_key_of_a_patient_is_answered(ward):
    [one] = {(one["system"], one["value"]) for one in await identifiers(ward, ward.here[6]) if "value" in one} or [None]
    for path in ("DiagnosticReport?patient.identifier", "DiagnosticReport?imagingStudy.patient.identifier"):
        found, _ = await ward.found(at(HERE), f"{path}={one[0]}|{one[1]}")
        assert f"DiagnosticReport/{ward.here[6]['id']}" in found


async def identifiers(ward, report):
    patient = (await ward.ask(None, report["subject"]["reference"])).json()
    return [one for one in patient["identifier"] if one["type"]["coding"][0]["code"] == "MR"]
