"""Versions of all resources of some types, newest first, page by page, on both engines.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import pytest
from fakes.store import made, write

from gateway.index.criteria import Is
from gateway.store.database.engine import Statement, ask
from gateway.store.studies import search
from gateway.store.studies.search import versions_of

BIRTH = 1_000_000
_ERASE = (
    Statement("DELETE FROM version WHERE resource IN (SELECT r.number FROM resource r WHERE r.address = :address)"),
    Statement("DELETE FROM resource WHERE address = :address"),
)


@pytest.fixture(params=["all", "some", "few"], autouse=True)
def looked_at(request, monkeypatch):
    """Look at all versions of the store, or at the newest alone; then a type may have changed too often to be read."""
    if request.param != "all":
        monkeypatch.setattr(search, "LOOKED_AT", 0)
    if request.param == "few":
        monkeypatch.setattr(search, "MOST_LATER", 1)


@pytest.fixture
async def stored(engine):
    """Write three contents of a report, one of another, and others beside them; return what was written, in order."""
    kept = []
    for number in range(3):
        kept += await write(
            engine,
            made("DiagnosticReport/a", str(number), terms={(1, "open")}),
            made("Patient/p", str(number)),
            made("Organization/o", str(number)),
            now=BIRTH * (number + 1),
        )
    kept += await write(engine, made("DiagnosticReport/b", terms={(1, "shut")}), made("Observation/x", faults="[]"))
    return [(one.address, one.version, one.updated) for one in kept if not one.is_suppressed]


def listed(versions):
    return [(one.address, one.version, one.updated) for one in versions]


async def walk(engine, types, size, *, since=0, limits=None):
    """Return all versions, page by page."""
    seen, before = [], 2**62
    while found := await versions_of(engine, types, since=since, before=before, most=size, limits=limits):
        assert len(found) <= size
        seen += listed(found)
        before = found[-1].updated
    return seen


@pytest.mark.parametrize(
    "types", [("DiagnosticReport",), ("Organization",), ("Patient", "Observation", "DiagnosticReport", "Organization")]
)
@pytest.mark.parametrize("size", [1, 2, 50])
async def test_every_version_comes_once_the_newest_first_and_what_failed_the_check_never(engine, stored, types, size):
    wanted = [one for one in reversed(stored) if one[0].partition("/")[0] in types]
    assert await walk(engine, types, size) == wanted


async def test_only_what_was_stored_then_or_later_comes(engine, stored):
    third = stored[6][2]
    wanted = [one for one in reversed(stored) if one[2] >= third and one[0].startswith("DiagnosticReport/")]
    assert await walk(engine, ["DiagnosticReport"], 50, since=third) == wanted
    assert len(wanted) == 2


async def test_a_client_with_limits_gets_current_versions_of_what_it_sees_alone(engine, stored):
    limits = {"DiagnosticReport": ((Is(1, "open"),),), "Organization": ()}
    types = ["DiagnosticReport", "Organization", "Patient"]
    assert [one[:2] for one in await walk(engine, types, 1, limits=limits)] == [
        ("Organization/o", 3),
        ("DiagnosticReport/a", 3),
    ]
    assert [one[:2] for one in await walk(engine, ["Organization"], 1, limits=limits)] == [("Organization/o", 3)]


async def test_what_is_stored_while_the_types_are_read_comes_before_the_page(engine, stored, monkeypatch):
    of_type = search._of_type

    async def raced(engine, kind, *more, **place):
        rows = await of_type(engine, kind, *more, **place)
        await write(engine, made("Patient/p", "new"), made("DiagnosticReport/a", "new"))
        return rows

    monkeypatch.setattr(search, "_of_type", raced)
    found = await versions_of(engine, ["Patient", "DiagnosticReport"], since=0, before=2**62, most=7, limits=None)
    assert listed(found) == [one for one in reversed(stored) if not one[0].startswith("Organization/")]


async def test_what_is_erased_while_a_page_is_read_does_not_make_it_shorter(engine, monkeypatch):
    written = await write(engine, *(made(f"Patient/{number}") for number in range(6)))
    erased, *others = reversed(written)
    scan = search._history

    async def raced(engine, statement, **values):
        for one in _ERASE if statement is search._OF_TYPE else ():
            await engine.do(lambda one=one: ask(one, address=erased.address))
        return await scan(engine, statement, **values)

    monkeypatch.setattr(search, "_history", raced)
    monkeypatch.setattr(search, "LOOKED_AT", 0)
    found = await versions_of(engine, ["Patient"], since=0, before=2**62, most=4, limits=None)
    assert [one.address for one in found] == [one.address for one in others[:4]]
