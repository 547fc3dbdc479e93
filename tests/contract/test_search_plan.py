"""A broad search reads as much in a store that is several times as large, on both engines, or is refused.

https://hl7.org/fhir/R4/search.html. What is read is counted, not timed: tests/fakes/rows_read.py. Which
searches are refused: tests/contract/test_search.py.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.rows_read import Sent, reading, recorded
from fakes.store import made, write

from gateway.fhir_api.search.search_query import understand
from gateway.index.criteria import Updated
from gateway.index.keys import SEPARATOR, key
from gateway.index.search_value import Circumstances
from gateway.runtime.errors import StoreTooSlow
from gateway.store.studies import search, search_plan, search_sql
from gateway.store.studies.fragments import leads_by
from gateway.store.studies.search import versions_of
from gateway.store.studies.shared_terms import divided, set_of
from gateway.store.studies.short_values import short_value

HERE = Circumstances(UTC, datetime(2026, 1, 5, tzinfo=UTC), "")
DAY = 24 * 3600 * 1_000_000
PAGE, SMALL, TIMES = 6, 2_000, 4
EVERY = 10  # so many resources have one that is special
BORN = -70 * 365 * DAY  # of all patients, as where a birth date is not known
FEW = ("Encounter/a", "Encounter/b")
AMENDED = range(7, 1_207, 100)  # reports


def _shared(kind, status):
    return set_of(frozenset({(key(kind, "status"), f"{status}{SEPARATOR}urn:s")}))


def _report(number):
    """Make a report of a Patient of its own; one in ten is critical, and one of the first radiologist."""
    is_special = number % EVERY == 3
    low = number * DAY // 100
    named = {
        ("critical", f"{str(is_special).lower()}{SEPARATOR}"),
        ("patient", f"Patient/{number}"),
        ("performer", f"Practitioner/{0 if is_special else 1}"),
    }
    terms = {(key("DiagnosticReport", name), value) for name, value in named}
    return made(
        f"DiagnosticReport/{number}",
        terms=terms,
        moments={(key("DiagnosticReport", "date"), low, low + 1)},
        term_set=_shared("DiagnosticReport", "amended" if number in AMENDED else "final"),
    )


def _observation(number):
    code = "AA" if number % EVERY == 3 else "N"
    low = number * DAY // 100
    named = {("interpretation", f"{code}{SEPARATOR}urn:s"), ("patient", f"Patient/{max(number - 1, 0)}")}
    return made(
        f"Observation/{number}",
        terms={(key("Observation", name), value) for name, value in named},
        moments={(key("Observation", "date"), low, low + 1)},
        term_set=_shared("Observation", "final"),
    )


def _patient(number):
    name = "doe" if number % EVERY == 3 else f"n{number}"
    born = {(key("Patient", "birthdate"), BORN, BORN + DAY)}
    return made(f"Patient/{number}", terms={(key("Patient", "family"), name)}, moments=born)


def _order(number):
    return made(f"ServiceRequest/{number}", terms={(key("ServiceRequest", "patient"), f"Patient/{number}")})


async def _grown(engine, start, end):
    """Write resources of these numbers; each type lies among the others."""
    for first in range(start, end, 500):
        numbers = range(first, min(first + 500, end))
        await write(engine, *(make(one) for one in numbers for make in (_patient, _report, _observation)))


def _search(text):
    kind, _, rest = text.partition("?")
    return understand(kind, [tuple(one.split("=", 1)) for one in rest.split("&")], HERE, strict=True).search(PAGE)


async def _read(engine, text):
    """Return what the first page of a search reads; a broad one, little over the connections for quick queries."""
    asked = _search(text)
    with recorded(engine) as sent:
        found = await search.page(engine, asked)
    if search_sql.is_broad(asked) and engine.dialect == "postgresql":
        quick = [one for one in sent if not one.is_long]
        assert (await reading(engine, quick)).read <= search_plan.ROUNDS[0], text
    return (await reading(engine, sent)).read, len(found.versions)


async def _read_from_start(engine, text):
    """Return what it reads if it starts from its clause at once."""
    sql = search_sql.page(_search(text))
    sent = Sent(search_sql.for_dialect(sql.text, engine.dialect), sql.values, is_long=True)
    return (await reading(engine, [sent])).read


BROAD = (
    "Observation?interpretation=AA",
    "Observation?interpretation=AA&_sort=-date",
    "Patient?family=doe",
    "Patient?family=n",
    "Observation?patient.family=n&interpretation=AA&_sort=-date",
    "ServiceRequest?patient.family=n",
    "Observation?interpretation=AA&patient=Patient/22",
    "DiagnosticReport?date=ge1970",
    "DiagnosticReport?date=ge1970&_sort=-_lastUpdated",
    "DiagnosticReport?_lastUpdated=ge1970&_sort=-date",
    "DiagnosticReport?date=ge1970&performer=Practitioner/0",
    "DiagnosticReport?patient.family=doe",
    "Patient?_has:DiagnosticReport:patient:date=ge1970",
    "DiagnosticReport?date=ge1970&status=amended",
    "DiagnosticReport?date=ge1970&status:not=final&_sort=status,-date",
    "Patient?family=n&_has:DiagnosticReport:patient:status=amended",
)
FOUND_NOTHING = (
    "DiagnosticReport?date=ge1970&performer=Practitioner/nobody",
    "DiagnosticReport?date=ge1970&status=registered",
    "DiagnosticReport?date=ge1970&encounter:missing=false",
    "Observation?interpretation=AA&code=none",
    "DiagnosticReport?date=ge1970&performer.name=nobody",
    "DiagnosticReport?date=ge1970&status:missing=true",
    "Observation?interpretation=AA&status:not=final",
)
NARROW = ("DiagnosticReport?patient=Patient/23&performer=Practitioner/0",)


@pytest.fixture
async def analysed(engine):
    """Return a function that lets PostgreSQL look at what is stored, as its own background work does."""

    async def analyse():
        if engine.dialect == "postgresql":
            await engine.query("VACUUM ANALYZE", [])

    return analyse


@pytest.mark.full
async def test_a_search_reads_no_more_in_a_store_that_is_several_times_as_large(engine, analysed, monkeypatch):
    monkeypatch.setattr(search_plan, "ROUNDS", (SMALL // EVERY // 10, SMALL // EVERY, 10 * SMALL))
    await _grown(engine, 0, SMALL)
    await write(engine, *map(_order, range(PAGE)))
    await analysed()
    small = {one: await _read(engine, one) for one in (*BROAD, *FOUND_NOTHING, *NARROW)}
    await _grown(engine, SMALL, SMALL * TIMES)
    await analysed()
    for one, (read, found) in small.items():
        assert (found > 0) == (one not in FOUND_NOTHING), one
        large, found_then = await _read(engine, one)
        assert found_then == found, one
        assert large <= read * 1.3 + 100, (one, read, large)


def _coded(number):
    """Make a report with a code of LOINC, as one in three has it, or one of its own."""
    code = f"36643-5{SEPARATOR}http://loinc.org" if number % 3 == 0 else f"XR{number}{SEPARATOR}urn:local"
    status = (key("DiagnosticReport", "status"), f"final{SEPARATOR}urn:s")
    own, shared = divided(
        {(key("DiagnosticReport", "code"), short_value(key("DiagnosticReport", "code"), code)), status}
    )
    low = number * DAY // 100
    moments = {(key("DiagnosticReport", "date"), low, low + 1)}
    return made(f"DiagnosticReport/{number}", terms=own, term_set=shared, moments=moments)


@pytest.mark.full
@pytest.mark.parametrize("name", ["code", "code:not"])
async def test_any_code_of_a_system_is_looked_for_in_no_row_of_other_resources(engine, analysed, monkeypatch, name):
    monkeypatch.setattr(search_plan, "ROUNDS", (50, 400, 3_200))
    text, read = f"DiagnosticReport?date=ge1970&{name}=http://loinc.org|", []
    for first, end in ((0, 2_000), (2_000, 5_000)):
        await write(engine, *map(_coded, range(first, end)))
        await analysed()
        read.append((await _read(engine, text))[0])
    assert read[1] <= read[0] * 1.3 + 100


@pytest.mark.full
@pytest.mark.parametrize("text", ["Patient?family=n&_sort=birthdate", "Patient?family=n&_sort=-birthdate,_id"])
async def test_looking_where_all_have_the_first_sort_key_alike_adds_few_reads(engine, analysed, monkeypatch, text):
    monkeypatch.setattr(search_plan, "ROUNDS", (50, 400, 3_200))
    await _grown(engine, 0, SMALL)
    await analysed()
    read, found = await _read(engine, text)
    assert found == PAGE
    assert read <= await _read_from_start(engine, text) * 1.3 + 1_000


@pytest.mark.parametrize(
    ("name", "value", "leads_by_one"),
    [
        ("patient.family", "a", False),
        ("performer.name", "a", True),
        ("_has:Observation:patient:date", "ge1970", False),
        ("_has:Observation:patient:code", "a", False),
    ],
)
def test_the_end_of_a_chain_tells_how_many_it_finds_unless_many_come_by_one_row(name, value, leads_by_one):
    kind = "Patient" if name.startswith("_has") else "DiagnosticReport"
    asked = understand(kind, [(name, value), ("_lastUpdated", "ge1970")], HERE, strict=True).search(PAGE)
    [chain] = [one for one in asked.clauses if not isinstance(one[0], Updated)]
    assert leads_by(chain[0], search_sql.OF_MANY) == leads_by_one


async def test_a_chain_over_a_radiologist_is_bounded_by_the_reports_that_it_leads_to(engine, analysed, monkeypatch):
    """Nobody of one name has many reports, and somebody of another name has few."""
    monkeypatch.setattr(search_plan, "ROUNDS", (10, 100))
    await _grown(engine, 0, 1_000)
    names = {"few": "0", "many": "1"}
    people = [
        made(f"Practitioner/{number}", terms={(key("Practitioner", "name"), name)}) for name, number in names.items()
    ]
    await write(engine, *people)
    await analysed()
    later = "DiagnosticReport?date=ge1970-01-09T12:00:00Z&_sort=-_lastUpdated&performer.name="
    few = await search.page(engine, _search(f"{later}few&critical=true"))
    assert len(few.versions) == PAGE
    with pytest.raises(StoreTooSlow, match="100 resources or more"):
        await search.page(engine, _search("DiagnosticReport?date=ge1970&performer.name=many&critical=true"))


async def test_what_one_index_range_has_is_counted_without_its_resources(engine, analysed):
    """Suppressed resources have index rows, and are no results."""
    await _grown(engine, 0, SMALL)
    rows = {name: getattr(_report(SMALL), name) for name in ("terms", "moments", "term_set")}
    await write(engine, made("DiagnosticReport/hidden", **rows, faults="[]"))
    await analysed()
    for text, number in (("date=ge1970", SMALL), ("date=ge1970-01-02&date=lt1970-01-04", 200)):
        asked = _search(f"DiagnosticReport?{text}")
        with recorded(engine) as sent:
            assert await search.count(engine, asked) == number
        whole = search_sql.count(asked)
        of_all = [Sent(search_sql.for_dialect(whole.text, engine.dialect), whole.values, is_long=True)]
        assert 10 * (await reading(engine, sent)).read < 9 * (await reading(engine, of_all)).read
    assert await search.count(engine, _search("DiagnosticReport?date=ge1970&status=final")) == SMALL - len(AMENDED)


async def test_no_resource_is_looked_at_for_a_shared_term_of_its_own_while_none_has_one(engine, analysed):
    await _grown(engine, 0, SMALL)
    await analysed()
    read = await _read_from_start(engine, "DiagnosticReport?date=ge1970&status=amended")
    own = (key("DiagnosticReport", "status"), f"amended{SEPARATOR}urn:s")
    await write(engine, made("DiagnosticReport/of-an-earlier-release", terms={own}))
    await analysed()
    assert read * 1.1 < await _read_from_start(engine, "DiagnosticReport?date=ge1970&status=amended")


async def test_a_page_is_read_within_one_deadline(engine, monkeypatch):
    await _grown(engine, 0, 500)
    monkeypatch.setattr(search_plan, "ROUNDS", (1, 400))
    seconds, scan = [], engine.scan

    async def slow(sql, values, limit, *, tries_here=False):
        seconds.append(limit)
        monkeypatch.setattr(search_plan.clock, "monotonic", lambda: 2.0 * len(seconds))
        return await scan(sql, values, limit, tries_here=tries_here)

    monkeypatch.setattr(search_plan.clock, "monotonic", lambda: 0.0)
    monkeypatch.setattr(engine, "scan", slow)
    with pytest.raises(StoreTooSlow, match="5 s"):
        await search.page(engine, _search("Observation?interpretation=AA&patient.family=doe"))
    assert seconds == [5.0, 3.0, 1.0]


@pytest.mark.full
async def test_the_history_of_a_type_reads_no_more_if_others_changed_since(engine, analysed):
    await write(engine, *map(made, FEW))

    async def read():
        with recorded(engine) as sent:
            found = await versions_of(engine, ["Encounter"], since=0, before=2**62, most=PAGE, limits=None)
        assert sorted(one.address for one in found) == sorted(FEW)
        return (await reading(engine, sent)).read

    await _grown(engine, 0, SMALL)
    await analysed()
    small = await read()
    await _grown(engine, SMALL, SMALL * TIMES)
    await analysed()
    assert await read() <= small * 1.3 + 100


async def test_a_page_within_bounds_of_its_order_reads_less_than_a_round(engine, analysed):
    await _grown(engine, 0, SMALL)
    await analysed()
    for text in ("DiagnosticReport?date=ge1970&_sort=date", "DiagnosticReport?date=ge1970&_sort=-date"):
        read, found = await _read(engine, text)
        assert found == PAGE
        assert read < search_plan.ROUNDS[0], (text, read)
