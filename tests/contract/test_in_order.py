"""A broad search reads as much in a store that is several times as large, on both engines.

https://hl7.org/fhir/R4/search.html. What is read is counted, not timed: tests/fakes/rows_read.py.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.rows_read import reading, recorded
from fakes.store import made, write

from gateway.fhir_api.search.search_query import understand
from gateway.index.keys import SEPARATOR, key
from gateway.index.value import Circumstances
from gateway.store.studies import in_order, search
from gateway.store.studies.histories import versions_of

HERE = Circumstances(UTC, datetime(2026, 1, 5, tzinfo=UTC), "")
DAY = 24 * 3600 * 1_000_000
PAGE, SMALL, TIMES = 6, 2_000, 4
EVERY = 10  # so many resources have one that is special
FEW = ("Encounter/a", "Encounter/b")


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
    return made(f"DiagnosticReport/{number}", terms=terms, moments={(key("DiagnosticReport", "date"), low, low + 1)})


def _observation(number):
    code = "AA" if number % EVERY == 3 else "N"
    low = number * DAY // 100
    return made(
        f"Observation/{number}",
        terms={(key("Observation", "interpretation"), f"{code}{SEPARATOR}urn:s")},
        moments={(key("Observation", "date"), low, low + 1)},
    )


def _patient(number):
    name = "doe" if number % EVERY == 3 else f"n{number}"
    return made(f"Patient/{number}", terms={(key("Patient", "family"), name)})


async def _grown(engine, start, end):
    """Write resources of these numbers; each type lies among the others."""
    for first in range(start, end, 500):
        numbers = range(first, min(first + 500, end))
        await write(engine, *(make(one) for one in numbers for make in (_patient, _report, _observation)))


async def _read(engine, text):
    """Return what the first page of a search reads."""
    kind, _, rest = text.partition("?")
    query = understand(kind, [tuple(one.split("=", 1)) for one in rest.split("&")], HERE, strict=True)
    with recorded(engine) as sent:
        found = await search.page(engine, query.search(PAGE))
    return (await reading(engine, sent)).read, len(found.versions)


BROAD = (
    "Observation?interpretation=AA",
    "Observation?interpretation=AA&_sort=-date",
    "Patient?family=doe",
    "DiagnosticReport?date=ge1970",
    "DiagnosticReport?date=ge1970&_sort=-_lastUpdated",
    "DiagnosticReport?_lastUpdated=ge1970&_sort=-date",
    "DiagnosticReport?date=ge1970&performer=Practitioner/0",
    "DiagnosticReport?patient.family=doe",
    "Patient?_has:DiagnosticReport:patient:date=ge1970",
)
FOUND_NOTHING = (
    "DiagnosticReport?date=ge1970&performer=Practitioner/nobody",
    "DiagnosticReport?date=ge1970&status=registered",
    "DiagnosticReport?date=ge1970&encounter:missing=false",
    "Observation?interpretation=AA&code=none",
)
NARROW = ("DiagnosticReport?patient=Patient/23&performer=Practitioner/0",)


@pytest.fixture
async def analysed(engine):
    """Return a function that lets PostgreSQL count what is stored, as its own background work does."""

    async def analyse():
        if engine.dialect == "postgresql":
            await engine.query("ANALYZE", [])

    return analyse


async def test_a_search_reads_no_more_in_a_store_that_is_several_times_as_large(engine, analysed, monkeypatch):
    monkeypatch.setattr(in_order, "FEW", SMALL // EVERY // 2)
    await _grown(engine, 0, SMALL)
    await analysed()
    small = {one: await _read(engine, one) for one in (*BROAD, *FOUND_NOTHING, *NARROW)}
    await _grown(engine, SMALL, SMALL * TIMES)
    await analysed()
    for one, (read, found) in small.items():
        assert (found > 0) == (one not in FOUND_NOTHING), one
        large, found_then = await _read(engine, one)
        assert found_then == found, one
        assert large <= read * 1.3 + 100, (one, read, large)


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
