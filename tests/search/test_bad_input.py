"""Every answer to a client is a Bundle or an OperationOutcome, and bad input never causes a 500.

https://hl7.org/fhir/R4/http.html#Status-Codes. All of the sandbox is in the index.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

import pytest
from fakes.crawled import BASE, PATHS, World, asked_for, links
from fakes.scale import SEARCHES
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.index.parameter_lookup import EVERY, TYPES, parameters_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def raw(world: World, target: bytes, method: str = "GET", body: bytes = b"", **headers: str):
    """Return the application's answer to a raw request line, which a client library would have corrected."""
    path, _, query = target.partition(b"?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1:8800"),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ],
        "server": ("127.0.0.1", 8800),
        "client": ("127.0.0.1", 50000),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await world.stage.app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(one.get("body", b"") for one in sent))


LONG = b"x" * 10_000
QUERIES = [
    b"patient=" + LONG,
    b"patient=a&" + LONG + b"=1",
    b"patient=a&_sort=" + LONG,
    b"patient=a&_elements=" + LONG,
    b"_page=" + LONG,
    b"_page=" + LONG + LONG,
    b"patient=a&" * 500,
    b"_id=" + b"a," * 3_000,
    b"patient=%FF%FE",
    b"patient=%ED%A0%80",
    b"patient=\xff\xfe",
    b"patient=a%00b",
    b"patient=a%0d%0aSet-Cookie:%20a=b",
    b"patient=a%1b[31m",
    b"pati%00ent=a",
    b"patient=a&__proto__[x]=1",
    b"patient=a&../../etc/passwd=1",
    b"patient=..%2f..%2fetc%2fpasswd",
    b"patient=" + b"Patient/" * 100,
    b"date=ge" + b"9" * 400,
    b"patient=a&_count=" + b"9" * 300,
    b"patient=" + b"\\" * 999,
    b"patient=" + b"|" * 999,
    b"patient=" + b"%2C" * 999,
    b"name:contains=" + b"a" * 900,
    b"&&&&==&=;",
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:24].decode("latin-1"))
async def test_what_nobody_in_good_faith_asks_is_refused_in_an_address_and_in_a_form(world, query):
    status, body = await raw(world, b"/fhir/DiagnosticReport?" + query)
    assert (status, body["resourceType"]) == (400, "OperationOutcome")
    posted, said = await raw(
        world, b"/fhir/DiagnosticReport/_search", "POST", query, content_type="application/x-www-form-urlencoded"
    )
    assert (posted in {400, 413}, said["resourceType"]) == (True, "OperationOutcome")
    assert "xxxx" not in json.dumps([body, said])


ODD = [
    b"_id=" + b"a," * 150,
    b"_id=" + b",".join(b"id-%d" % number for number in range(100)),
    b"patient=a&status:not=" + b"a," * 80,
    b"date=2026-01-01T00:00:00.%31" + b"0" * 300,
    b"_lastUpdated=gt9999-12-31T23:59:60.999999999-14:00",
    b"_lastUpdated=le0001-01-01T00:00:00%2B14:00",
    b"date=ap9999",
    b"identifier=" + b"%7C%5C" * 400,
    b"patient:identifier=" + b"%5C%7C" * 400,
    b"patient.name=" + b"%F0%9F%98%80" * 300,
    b"signed=ge2000" + b"&critical=true" * 29,
]


@pytest.mark.parametrize("query", ODD, ids=lambda query: query[:24].decode("latin-1"))
async def test_what_is_odd_but_can_be_asked_is_answered(world, query):
    status, body = await raw(world, b"/fhir/DiagnosticReport?" + query)
    assert (status, body["resourceType"]) == (200, "Bundle"), body


SQL = ("x' OR '1'='1", "x') OR 1=1 --", "x'; DROP TABLE resource; --", 'x" OR ""="', "%' OR 1=1 OR name LIKE '%", "_%")
PLACES = ("Patient?identifier=", "Patient?name=", "Patient?name:exact=", "DiagnosticReport?patient.identifier=")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", SQL)
async def test_sql_in_a_value_is_a_value_that_nobody_has(world, place, value):
    status, body = await raw(world, b"/fhir/" + place.encode() + quote(value).encode())
    assert (status, body["resourceType"]) == (200, "Bundle")
    assert [one for one in body.get("entry", ()) if one["search"]["mode"] == "match"] == []


@pytest.mark.parametrize(
    "target",
    [
        b"/fhir/../fhir/DiagnosticReport?patient=a",
        b"/fhir/DiagnosticReport/../Patient?_id=a",
        b"/fhir/DiagnosticReport/..%2f..%2fetc%2fpasswd",
        b"/fhir//DiagnosticReport?patient=a",
        b"/fhir/DiagnosticReport//_search?patient=a",
        b"/fhir/DiagnosticReport/%00",
        b"/fhir/DiagnosticReport/a\nb",
        b"/fhir/Patient/a\n/_history/1",
        b"/fhir/\nPatient",
        b"/fhir/DiagnosticReport%00?patient=a",
        b"/fhir/diagnosticreport?patient=a",
        b"/fhir/DiagnosticReport;x=1?patient=a",
        b"/fhir/\xff\xfe?patient=a",
        b"/fhir/DiagnosticReport/" + LONG,
        b"/fhir/" + b"a/" * 500,
    ],
    ids=lambda target: target[:40].decode("latin-1"),
)
async def test_paths_that_lead_astray_lead_nowhere(world, target):
    status, body = await raw(world, target)
    assert (status, body["resourceType"]) == (404, "OperationOutcome")


async def test_a_form_of_another_type_is_refused(world):
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain", ""):
        response = await world.stage.client.post(
            f"{BASE}/DiagnosticReport/_search", content=b"patient=a", headers={"Content-Type": kind}
        )
        assert (response.status_code, response.json()["resourceType"]) == (415, "OperationOutcome")


@pytest.fixture(scope="module")
def tally(say: Callable[[str], None]) -> Iterator[Counter[str]]:
    """Count the results of the fuzzed requests; at least two in five must be valid."""
    counts: Counter[str] = Counter()
    yield counts
    say(f"searches: {dict(counts)}")
    assert counts["with an entry"] >= 0.4 * (counts["requests"] - counts["for visits"]), counts


# Control characters are refused early, and are tested above
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=10)
WHEN = st.dates().map(lambda day: day.isoformat())
VALUES = {
    "token": st.sampled_from(
        ("final", "FINAL", "LP29684-5", "http://loinc.org|18748-4", "|x", "urn:x|", "true", "unknown", "a\\,b,c", "CT")
    ),
    "reference": st.sampled_from(("pat-1", "Patient/pat-1", f"{BASE}/Patient/pat-1", "urn:uuid:1", "ServiceRequest/a")),
    "date": st.builds(
        "{}{}{}".format,
        st.sampled_from(("", "ge", "lt", "ap", "ne", "sa", "xx")),
        WHEN,
        st.sampled_from(("", "T10:00Z", "T10:00:00-05:00", "T99", "-01")),
    ),
    "string": TEXT,
    "uri": st.sampled_from(("http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient", "urn:x", "nonsense")),
}
SHAPES = st.sampled_from(
    (
        *(("_count", value) for value in ("1", "2", "7", "501", "0", "x")),
        *(("_sort", value) for value in ("date", "-_lastUpdated", "status,-_id", "patient", "nonsense")),
        *(("_include", value) for value in ("DiagnosticReport:patient", "Observation:performer", "Provenance:target")),
        *(("_revinclude", value) for value in ("Provenance:target", "DocumentReference:related")),
        *(("_summary", value) for value in ("true", "text", "data", "count")),
        *(("_elements", value) for value in ("status", "id,code,subject", "nonsense")),
        *(("_total", value) for value in ("none", "accurate", "estimate")),
        *(("_format", value) for value in ("json", "xml", "turtle")),
        ("_include:iterate", "Patient:organization"),
        ("_pretty", "true"),
        ("_explain", "true"),
        ("colour", "blue"),
        ("_has:Provenance:target:recorded", "ge2026"),
    )
)
NARROWING = (*[("_lastUpdated", "ge2000")] * 4, *[("_id", None)] * 4, ("_profile", "urn:x"))
OFTEN = st.sampled_from((True, True, True, False))
OF_PATIENT = [("patient", None)] * 3


@st.composite
def searches(draw):
    """Strategy for a search: type, parameters, and GET or POST; a value of None becomes one that a resource has."""
    kind = draw(st.sampled_from(TYPES))
    rows = [row for row in parameters_of(kind) if row.name not in EVERY]
    rows += 3 * [row for row in rows if row.name in PATHS.get(kind, {})]
    pairs = [draw(st.sampled_from((*NARROWING, *(OF_PATIENT if "patient" in PATHS.get(kind, {}) else ()))))]
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2)))):
        row = draw(st.sampled_from(rows))
        modifier = draw(st.sampled_from((*[""] * 8, *row.modifiers, "nonsense")))
        value = None if draw(OFTEN) else draw(st.one_of(VALUES[row.type], TEXT))
        pairs.append((f"{row.name}:{modifier}" if modifier else row.name, value))
    pairs += [draw(SHAPES) for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2))))]
    return kind, draw(st.permutations(pairs)), draw(st.booleans())


# Without the hospital's orders the sandbox has no visits
NOTHING = [{"resourceType": "Encounter", "id": "none"}]


def filled(world: World, kind: str, pairs, number: int) -> list[tuple[str, str]]:
    """Fill open values of the parameters with values of a resource."""
    every = world.resources.get(kind, NOTHING)
    one = every[number % len(every)]
    found = []
    for name, value in pairs:
        plain, _, modifier = name.partition(":")
        is_known = plain == "_id" or plain in PATHS.get(kind, {})
        known = asked_for(one, plain) if value is None and is_known else value
        found.append((name, "true" if modifier == "missing" else known or "2026"))
    return found


@pytest.mark.timeout(SEARCHES.seconds[0])
@settings(max_examples=SEARCHES.usual)
@given(searches(), st.integers(0, 1_000))
async def test_any_search_is_answered_or_refused_and_never_fails(world, tally, asked, number):
    await check(world, tally, asked, number)


@pytest.mark.soak
@pytest.mark.timeout(SEARCHES.seconds[1])
@settings(max_examples=SEARCHES.soak)
@given(searches(), st.integers(0, 1_000))
async def test_any_of_very_many_searches_is_answered_or_refused_and_never_fails(world, tally, asked, number):
    await check(world, tally, asked, number)


async def check(world: World, tally: Counter[str], asked, number: int) -> None:
    """Send a search, and its next page if there is one, and check the answers."""
    kind, pairs, by_form = asked
    given = filled(world, kind, pairs, number)
    if by_form:
        response = await world.post(kind, given)
    else:
        response = await world.get(f"{kind}?{urlencode(given)}")
    tally["requests"] += 1
    said = response.headers["content-type"]
    tally["for visits"] += kind == "Encounter"  # the world has none
    tally[f"{response.status_code // 100}xx"] += 1
    assert response.status_code in {200, 400, 406}
    assert said.startswith("application/fhir+")
    if "json" not in said:
        assert ("<Bundle" if response.status_code == 200 else "<OperationOutcome") in response.text
        tally["with an entry"] += response.text.count("<entry>") > response.text.count('<mode value="outcome"/>')
        return
    body = response.json()
    assert body["resourceType"] == ("Bundle" if response.status_code == 200 else "OperationOutcome")
    entries = [one for one in body.get("entry", ()) if one["search"]["mode"] != "outcome"]
    assert {one["resource"]["resourceType"] for one in entries if one["search"]["mode"] == "match"} <= {kind}
    tally["with an entry"] += bool(entries)
    if body["resourceType"] == "Bundle" and "next" in links(body):
        following = await world.stage.client.get(links(body)["next"])
        assert (following.status_code, bool(following.content)) == (200, True)
        tally["with a page"] += 1
