"""A search sorted by codes holds every match once and in one order, also where rows of earlier releases lie beside.

https://hl7.org/fhir/R4/search.html#sort. Earlier releases wrote the code system of a term in full, in a row of the
resource's own; this one writes a sign for it, and shares most terms.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from fakes.store import made, write

from gateway.index.criteria import During, Is
from gateway.index.keys import SEPARATOR, key
from gateway.index.terms import code_term
from gateway.store.studies import search
from gateway.store.studies.search_sql import Search, Sort
from gateway.store.studies.shared_terms import divided
from gateway.store.studies.short_values import short_value

TYPE = "DiagnosticReport"
STATUS, DATE, PATIENT, CATEGORY = (key(TYPE, name) for name in ("status", "date", "patient", "category"))
STATUSES = "http://hl7.org/fhir/diagnostic-report-status"
HERE, EVER = (PATIENT, "Patient/here"), (During(DATE, "ge", 0, 1),)
COUNT, TRIES = 70, 12
CODES = ("amended", "appended", *("final",) * 5, "preliminary")
RADIOLOGY = (CATEGORY, f"RAD{SEPARATOR}")


class Reports:
    """Reports with random codes and dates; every other one is stored as earlier releases did."""

    def __init__(self, seed):
        self.dice = Random(seed)
        self.terms = {f"{TYPE}/{number}": self._codes() for number in range(COUNT)}
        self.low = {address: self.dice.randrange(20) for address in self.terms if self.dice.random() < 0.9}
        self.updated = {}

    def _codes(self):
        found = {(STATUS, code_term(self.dice.choice(CODES), STATUSES))} if self.dice.random() < 0.9 else set()
        return found | ({RADIOLOGY} if self.dice.random() < 0.5 else set())

    def stored(self, address):
        moments = {(DATE, self.low[address], self.low[address] + 1)} if address in self.low else ()
        terms = {HERE, *self.terms[address]}
        if int(address.partition("/")[2]) % 2:
            return made(address, terms=terms, moments=moments)
        own, term_set = divided((one, short_value(one, value)) for one, value in terms)
        return made(address, terms=own, term_set=term_set, moments=moments)

    async def write(self, engine):
        order = list(self.terms)
        self.dice.shuffle(order)
        for start in range(0, COUNT, 10):
            written = await write(engine, *map(self.stored, order[start : start + 10]), now=start)
            self.updated |= {one.address: one.updated for one in written}
        self.number = {address: place for place, address in enumerate(order)}

    def wanted(self, sort, matches):
        """Return the matches in order: by each sort key, then as they were first written."""
        found = sorted((one for one in self.terms if matches(one)), key=self.number.__getitem__)
        for one in reversed(sort):
            found.sort(key=lambda address, one=one: self._key(address, one), reverse=one.descending)
        return found

    def _key(self, address, sort):
        if sort.by == "updated":
            return self.updated[address]
        if sort.by == "moment":
            return self.low.get(address, -1 if sort.descending else 99)
        if sort.by == "address":
            return address
        values = [short_value(one, value) for one, value in self.terms[address] if one == sort.key]
        return max(values, default="") if sort.descending else min(values, default="\U0010ffff")


@pytest.fixture(params=[1, 2])
async def reports(request, engine):
    """Return random reports that are stored."""
    made_up = Reports(request.param)
    await made_up.write(engine)
    return made_up


async def walked(engine, one, size):
    """Return the addresses of all pages."""
    found, one = [], replace(one, most=size)
    while versions := (await search.page(engine, one)).versions:
        if one.is_back:
            found[:0] = [version.address for version in versions]
        else:
            found += [version.address for version in versions]
        one = replace(one, after=versions[0 if one.is_back else -1].position)
    return found


CLAUSES = (
    ((EVER,), lambda made_up, one: one in made_up.low),
    (((Is(*HERE),),), lambda made_up, one: True),
    ((EVER, (Is(*RADIOLOGY),)), lambda made_up, one: one in made_up.low and RADIOLOGY in made_up.terms[one]),
)


def _sorts(dice):
    by_status = Sort("term", STATUS, dice.random() < 0.5)
    others = (Sort("term", CATEGORY), Sort("moment", DATE, dice.random() < 0.5), Sort("updated"), Sort("address"))
    return (by_status, *dice.sample(others, dice.randrange(3)))


async def test_every_page_has_one_order_of_codes_whichever_release_wrote_them(engine, reports):
    for _ in range(TRIES):
        clauses, matches = reports.dice.choice(CLAUSES)
        one = Search(TYPE, clauses, 0, _sorts(reports.dice), COUNT)
        right = reports.wanted(one.sort, lambda address, matches=matches: matches(reports, address))
        size = reports.dice.choice((2, 5, 13, COUNT))
        assert await walked(engine, one, size) == right, (one, size)
        assert await walked(engine, replace(one, is_back=True), size) == right, (one, size)


@pytest.mark.parametrize("descending", [False, True])
async def test_a_walk_goes_on_from_a_place_that_an_earlier_release_gave(engine, descending):
    """The page token has the code of the last match as that release had it in its index."""
    final = code_term("final", STATUSES)
    for place, name in enumerate("abcd"):
        low = 9 - place if descending else place
        status = final if name in "ad" else short_value(STATUS, final)
        await write(engine, made(f"{TYPE}/{name}", terms={(STATUS, status)}, moments={(DATE, low, low + 1)}))
    one = Search(TYPE, (EVER,), 0, (Sort("term", STATUS, descending), Sort("moment", DATE, descending)), 9)
    first, *others = (await search.page(engine, one)).versions
    assert [found.address[-1] for found in (first, *others)] == list("abcd")
    rest = await search.page(engine, replace(one, after=(final, *first.position[1:])))
    assert rest.versions == others
