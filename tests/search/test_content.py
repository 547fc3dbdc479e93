"""Reports are found by words over HTTP: no link and no log has a word, and what is hidden changes no answer.

https://hl7.org/fhir/R4/search.html#content, decision D41.
"""

from __future__ import annotations

from itertools import islice

import httpx
import pytest
import pytest_asyncio
from fakes.crawled import links
from fakes.facade import BASE, NEW, facade, resource_id

from gateway.auth.access import ACCESS, Access
from gateway.auth.scopes import scope_list
from gateway.settings.model import Fhir
from gateway.store.studies.write_versions import catch_up, words_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORD = "zyxwrumpel"
READS_REPORTS = "system/DiagnosticReport.rs"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage():
    async with facade(groups={"fhir": Fhir(content_search=True)}) as playing:
        playing.known = list(islice(playing.reports(status="completed", isAddendum=False), 24))
        for number, report in enumerate(playing.known):
            playing.account.change_text(report["reportId"], f"IMPRESSION: {WORD.title()} left-sided n{number}.")
        half = len(playing.known) // 2
        for one in playing.known[:half]:
            await playing.get(f"DiagnosticReport/{resource_id(one)}", headers=NEW)
        playing.early = await playing.get(f"DiagnosticReport?_content={WORD}")
        await completed(playing)
        for one in playing.known[half:]:
            await playing.get(f"DiagnosticReport/{resource_id(one)}", headers=NEW)
        yield playing


async def completed(stage):
    async def fold(bodies):
        return words_of(bodies)

    while await catch_up(stage.app.state.facade.engine, fold, has_words=True):
        pass


async def found(stage, query, **more):
    answer = await stage.get(query, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(bundle):
    return [one["resource"]["id"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match"]


async def test_until_all_words_are_read_the_search_is_refused_and_says_so(stage):
    assert stage.early.status_code == 503
    [issue] = stage.early.json()["issue"]
    assert (issue["code"], issue["details"]["coding"][0]["code"]) == ("incomplete", "words-incomplete")
    assert WORD not in stage.early.text


async def test_words_are_in_no_link_of_any_page_and_in_no_log(stage, capfd):
    wanted = sorted({resource_id(one) for one in stage.known})
    for is_posted in (False, True):
        bundle, seen = None, []
        if is_posted:
            form = {"_content": f'"{WORD} left"', "_count": "10"}
            bundle = (await stage.client.post(f"{BASE}/DiagnosticReport/_search", data=form)).json()
        else:
            bundle = await found(stage, f'DiagnosticReport?_content="{WORD}+LEFT"&_count=10')
        while bundle:
            assert not any(WORD in url.lower() for url in links(bundle).values())
            seen += ids(bundle)
            url = links(bundle).get("next")
            bundle = (await stage.client.get(url)).json() if url else None
        assert sorted(seen) == wanted
    again = await found(stage, f"DiagnosticReport?_content={WORD}&_count=10")
    assert ids((await stage.client.get(links(again)["self"])).json()) == ids(again)
    refused = await stage.get(f"DiagnosticReport?_content=({WORD} or x)")
    assert (refused.status_code, WORD in refused.text) == (400, False)
    assert WORD not in "".join(capfd.readouterr()).lower()


async def test_words_stand_beside_other_parameters_and_in_a_compartment(stage):
    report = (await stage.get(f"DiagnosticReport/{resource_id(stage.known[5])}")).json()
    patient = report["subject"]["reference"]
    for query in (
        f"DiagnosticReport?_content=n5&patient={patient}",
        f"{patient}/DiagnosticReport?_content=n5",
        "DiagnosticReport?_content=n5&date=ge1990&_sort=-date",
        "DiagnosticReport?_content=n5&status=final,amended,corrected,appended",
        f"DiagnosticReport?_content=n5,nowhere&_content={WORD}",
    ):
        assert ids(await found(stage, query)) == [report["id"]], query
    assert not ids(await found(stage, "DiagnosticReport?_content=n5+n6"))
    assert (await found(stage, f"DiagnosticReport?_content={WORD}&_summary=count"))["total"] == len(stage.known)


async def test_a_changed_text_is_found_by_its_new_words_only(stage):
    *_, report = islice(stage.reports(status="completed", isAddendum=False), 30)
    for number in range(3):
        stage.account.change_text(report["reportId"], f"IMPRESSION: change{number}.")
        await stage.get(f"DiagnosticReport/{resource_id(report)}", headers=NEW)
        assert ids(await found(stage, "DiagnosticReport?_content=change0,change1,change2")) == [resource_id(report)]
        assert ids(await found(stage, f"DiagnosticReport?_content=change{number}")) == [resource_id(report)]


async def asked_as(stage, access, query):
    app = stage.app

    async def limited(scope, receive, send):
        await app({**scope, ACCESS: access}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(limited)) as client:
        return await client.get(f"{BASE}/{query}")


async def test_a_client_with_limits_learns_nothing_of_words_that_it_does_not_see(stage):
    own, other = (
        stage.known[0],
        next(
            one
            for one in stage.known
            if one["snapshotMetadata"].get("facilityName") != stage.known[0]["snapshotMetadata"].get("facilityName")
        ),
    )
    place = frozenset({own["snapshotMetadata"]["facilityName"]})
    of_place = Access("a", scope_list(READS_REPORTS), place, 0, None, None)
    subject = (await stage.get(f"DiagnosticReport/{resource_id(own)}")).json()["subject"]["reference"]
    of_patient = Access("b", scope_list("patient/DiagnosticReport.rs"), None, 0, None, subject.partition("/")[2])
    hidden = f"n{stage.known.index(other)}"
    for access in (of_place, of_patient):
        alone = await asked_as(stage, access, "DiagnosticReport?_content=n0")
        assert alone.status_code == 400  # as any search of theirs that nothing else narrows
        dated = await asked_as(stage, access, "DiagnosticReport?_content=n0&date=ge1990")
        assert ids(dated.json()) == [resource_id(own)]
        answers = [
            await asked_as(stage, access, f"DiagnosticReport?_content={word}&date=ge1990&_total=accurate&_explain=true")
            for word in (hidden, "nowhere")
        ]
        assert [ids(one.json()) for one in answers] == [[], []]
        bare = [{**one.json(), "link": [], "id": "", "timestamp": "", "meta": {}} for one in answers]
        assert bare[0] == bare[1]


async def test_the_descriptions_of_the_server_have_it_only_where_it_is_offered(stage):
    async with facade() as other:
        offered = []
        for one in (stage, other):
            statement = (await one.get("metadata")).json()
            [reports] = [row for row in statement["rest"][0]["resource"] if row["type"] == "DiagnosticReport"]
            described = (await one.client.get(BASE.removesuffix("fhir") + "openapi.json")).json()["paths"]
            search = described["/fhir/DiagnosticReport"]["get"]["parameters"]
            offered += ["_content" in {row["name"] for row in rows} for rows in (reports["searchParam"], search)]
        assert offered == [True, True, False, False]
        assert (await other.get("DiagnosticReport?_content=x")).status_code == 400
