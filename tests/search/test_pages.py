"""The pages of a search: https://hl7.org/fhir/R4/http.html#paging.

All of the sandbox is in the index and stands still.
"""

from __future__ import annotations

import base64
import zlib
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from fakes.crawled import BASE, World, entries, ids, issues, links
from fakes.outcomes import refusal

from gateway.fhir_api.http.query import MAX_PAGE_BYTES, MAX_QUERY_BYTES
from gateway.fhir_api.http.summary import SUBSETTED
from gateway.runtime import clock

pytestmark = pytest.mark.asyncio(loop_scope="session")
SORTS = ("", "date", "-date", "-_lastUpdated", "_lastUpdated", "status,-issued", "_id", "-patient,status,_id")


async def follow(world: World, bundle, relation: str = "next", **more):
    """The Bundles from one on, by their links."""
    found = [bundle]
    while (url := links(found[-1]).get(relation)) is not None:
        found.append(world.seen(await world.stage.client.get(url, **more)))
        assert len(found) < 100
    return found


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("size", [7, 50])
async def test_forth_and_back_every_resource_is_seen_once_in_one_order(world, sort, size):
    query = f"DiagnosticReport?_lastUpdated=ge2000&_total=accurate&_count={size}" + (f"&_sort={sort}" if sort else "")
    pages = await follow(world, await world.bundle(query))
    forth = [one for some in pages for one in ids(some)]
    assert len(set(forth)) == len(forth)
    assert {one["id"] for one in world.resources["DiagnosticReport"]} <= set(forth)  # other tests may have one read
    whole = await world.bundle(query.replace(f"_count={size}", "_count=500"))
    assert forth == ids(whole)
    assert all(len(ids(one)) == size for one in pages[:-1])
    assert ids(pages[-1])
    back = await follow(world, pages[-1], "previous")
    assert [one for some in reversed(back) for one in ids(some)] == forth
    assert {one["total"] for one in (*pages, *back)} == {len(forth)}


async def test_the_links_of_a_page(world):
    query = "DiagnosticReport?date=ge2000&_count=60&_sort=date"
    first, second, third = await follow(world, await world.bundle(query))
    assert [list(links(one)) for one in (first, second, third)] == [
        ["self", "first", "next", "last"],
        ["self", "first", "previous", "next", "last"],
        ["self", "first", "previous", "last"],
    ]
    assert links(first)["self"] == links(second)["first"] == f"{BASE}/{query}"
    for relation, page in (("first", first), ("previous", first), ("self", second), ("next", third)):
        again = world.seen(await world.stage.client.get(links(second)[relation]))
        assert ids(again) == ids(page)
    last = world.seen(await world.stage.client.get(links(first)["last"]))
    assert ids(last) == ids(first)[:0] + [*ids(second), *ids(third)][-60:]
    assert list(links(last)) == ["self", "first", "previous", "last"]


async def test_a_search_that_fills_a_page_to_the_brim_has_no_other(world):
    number = len(world.resources["Organization"])
    whole = await world.bundle(f"Organization?_lastUpdated=ge2000&_count={number}")
    assert (len(ids(whole)), list(links(whole))) == (number, ["self"])
    half = len(world.resources["Patient"]) // 2
    pages = await follow(world, await world.bundle(f"Patient?_lastUpdated=ge2000&_count={half}"))
    assert [len(ids(one)) for one in pages] == [half, half]


async def test_every_page_is_shaped_and_has_its_includes(world):
    query = (
        "DiagnosticReport?date=ge2000&_count=40&_elements=status&_total=accurate"
        "&_include=DiagnosticReport:patient&_revinclude=Provenance:target"
    )
    for one in await follow(world, await world.bundle(query)):
        assert one["total"] == len(world.resources["DiagnosticReport"])
        matches, beside = entries(one), entries(one, "include")
        assert all(SUBSETTED in resource["meta"]["tag"] for resource in (*matches, *beside))
        assert not any("presentedForm" in resource for resource in matches)
        patients = {match["subject"]["reference"] for match in matches}
        found = {f"{resource['resourceType']}/{resource['id']}" for resource in beside}
        assert found == patients | {f"Provenance/{match['id']}-prov" for match in matches}
    none = await follow(world, await world.bundle("DiagnosticReport?date=ge2000&_count=90&_total=none&_summary=text"))
    assert ["total" in one for one in none] == [False, False]
    assert all(SUBSETTED in resource["meta"]["tag"] for one in none for resource in entries(one))


async def test_every_page_is_in_the_format_of_its_search(world):
    first = await world.get("DiagnosticReport?date=ge2000&_count=90&_format=xml")
    url = first.text.partition('<relation value="next"/><url value="')[2].partition('"')[0].replace("&amp;", "&")
    second = await world.stage.client.get(url)
    assert second.headers["content-type"].startswith("application/fhir+xml")
    assert (await world.stage.client.get(f"{url}&_format=json")).json()["resourceType"] == "Bundle"
    assert (await world.stage.client.get(f"{url}&_format=turtle")).status_code == 406


async def test_what_was_said_of_the_parameters_is_said_on_the_first_page_alone(world):
    pages = await follow(world, await world.bundle("DiagnosticReport?date=ge2000&_count=90&colour=blue"))
    assert ["parameter-ignored" in [one["detail"] for one in issues(page)] for page in pages] == [True, False]


async def test_nothing_that_was_asked_for_is_seen_in_a_link_of_a_posted_search(world):
    patient = busiest(world)
    asked = [
        ("patient.identifier", f"{patient['identifier'][0]['system']}|{patient['identifier'][0]['value']}"),
        ("patient.birthdate", patient["birthDate"]),
        ("_count", "1"),
        ("_total", "accurate"),
        ("_include", "DiagnosticReport:patient"),
    ]
    first = world.seen(await world.post("DiagnosticReport", asked))
    pages = await follow(world, first)
    assert len(pages) == first["total"] > 1
    assert len({one for some in pages for one in ids(some)}) == len(pages)
    assert [len(entries(one, "include")) for one in pages] == [1] * len(pages)
    for one in pages:
        for relation, url in links(one).items():
            assert list(parse_qs(urlsplit(url).query)) == ["_page"], relation
            for _, value in asked[:2]:
                assert value not in url
                assert value.encode() not in opened(url)
    again = world.seen(await world.stage.client.get(links(pages[-1])["first"]))
    assert ids(again) == ids(first)
    assert list(parse_qs(urlsplit(links(again)["self"]).query)) == ["_page"]


def busiest(world):
    every = [one["subject"]["reference"] for one in world.resources["DiagnosticReport"]]
    return world.by_address[max(every, key=every.count)]


def opened(url):
    """Return what an outsider can read from a token: its bytes, also decompressed if possible."""
    token = parse_qs(urlsplit(url).query)["_page"][0]
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for start in range(20):
        try:
            return sealed + zlib.decompress(sealed[start:])
        except zlib.error:
            continue
    return sealed


async def test_a_token_is_of_one_type_and_of_this_gateway(world):
    first = await world.bundle("DiagnosticReport?date=ge2000&_count=90")
    url = links(first)["next"]
    token = parse_qs(urlsplit(url).query)["_page"][0]
    for other in (url.replace("DiagnosticReport", "Observation"), url[:-2], f"{url}A", url.replace(token, "x" * 80)):
        assert refusal(await world.stage.client.get(other)) == (400, "error", "invalid")
    for place in range(0, len(token), 25):
        tampered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert refusal(await world.stage.client.get(url.replace(token, tampered))) == (400, "error", "invalid")
    posted = await world.stage.client.post(
        f"{BASE}/DiagnosticReport/_search",
        content=f"_page={token}",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert ids(posted.json()) == ids(world.seen(await world.stage.client.get(url)))


async def test_a_token_that_is_too_old_is_gone(world, monkeypatch):
    first = await world.bundle("DiagnosticReport?date=ge2000&_count=90")
    later = clock.now() + timedelta(hours=1, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert refusal(await world.stage.client.get(links(first)["next"])) == (410, "error", "expired")


async def test_nothing_else_can_be_asked_of_a_page(world):
    url = links(await world.bundle("DiagnosticReport?date=ge2000&_count=90"))["next"]
    plain = world.seen(await world.stage.client.get(url))
    more = world.seen(await world.stage.client.get(f"{url}&date=ge2000&colour=blue&_count=0&_pretty=true"))
    assert ids(more) == ids(plain)
    said = [one for one in issues(more) if one["detail"] == "parameter-ignored"]
    assert [one["expression"] for one in said] == [["http.colour"]]
    strict = await world.stage.client.get(f"{url}&colour=blue", headers={"Prefer": "handling=strict"})
    assert refusal(strict) == (400, "error", "not-supported")
    for narrower in (
        "status=registered",
        "date=ge2999",
        "media=x",
        "patient.identifier=1",
        "_has:Provenance:target:x=1",
    ):
        assert refusal(await world.stage.client.get(f"{url}&{narrower}")) == (400, "error", "not-supported")
    assert (await world.stage.client.get(url, headers={"Prefer": "handling=strict"})).status_code == 200


async def test_a_client_that_says_with_each_page_how_many_it_wants_gets_that_many_and_is_told_nothing(world):
    """Medplum's client adds `_count=1000` to a link without `_count`."""
    page = await world.bundle("DiagnosticReport?date=ge2000&_count=3&_sort=-date")
    seen, sizes = ids(page), []
    while url := links(page).get("next"):
        page = world.seen(await world.stage.client.get(f"{url}&_count=40", headers={"Prefer": "handling=strict"}))
        assert "parameter-ignored" not in [one["detail"] for one in issues(page)]
        sizes.append(len(ids(page)))
        seen += ids(page)
    every = [one["id"] for one in world.resources["DiagnosticReport"] if one.get("effectiveDateTime")]
    assert sorted(seen) == sorted(every)
    assert set(sizes[:-1]) == {40}
    refused = await world.stage.client.get(f"{links(page)['last']}&_count=few")
    assert refusal(refused) == (400, "error", "invalid")


async def test_the_longest_search_that_is_taken_has_pages(world):
    """A token contains the parameters, and must not exceed the accepted length."""
    every = [one["id"] for one in world.resources["DiagnosticReport"]]
    asked = f"_id={','.join(every[:100])}&date=ge2000&_count=3&_sort=-patient,status,-issued,date,_id"
    filling = "&".join(f"code:not=urn:{place}|{'%C3%A4' * 300}{place * 7919 % 10007}" for place in range(1, 3))
    first = await world.bundle(f"DiagnosticReport?{asked}&{filling}")
    assert len(f"{asked}&{filling}") < MAX_QUERY_BYTES
    second = world.seen(await world.stage.client.get(links(first)["next"]))
    assert len(ids(second)) == 3
    assert len(urlsplit(links(first)["next"]).query) < MAX_PAGE_BYTES
