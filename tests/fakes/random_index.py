"""Small random indexes and random searches, for comparison of every search with a try of each resource."""

from __future__ import annotations

from random import Random
from typing import Any

from fakes.store import Written, made

from gateway.index.criteria import (
    At,
    Clause,
    Contains,
    Criterion,
    During,
    Ends,
    Has,
    Is,
    Not,
    Nothing,
    Referred,
    Refers,
    Starts,
    Updated,
)
from gateway.index.extract import LONGEST, Rows, Term
from gateway.index.keys import key as key_of
from gateway.store.studies import shared_terms
from gateway.store.studies.search_sql import Search, Sort
from gateway.store.studies.write_versions import RenderedVersion

TYPES = ("DiagnosticReport", "Patient", "Provenance")
# Keys of text terms, of reference terms, of moments, of the first type; those of the next one are so much larger
TEXTS, REFERENCES, MOMENTS = (1, 2), (3, 4), (5, 6)
NEXT_TYPE = 10
DEPTH = 2  # of chains
SHARED = 0  # stands for the key of text terms that many resources of a type share in a set
TESTED = (*TEXTS, SHARED)
VALUES = ("", "a", "ab", "aB", "b", "a%", "a_b", "ä", "\U0001f9e0", "a\x1fs", "b\x1fs", "b\x1fS", "\x1f", "\U0010fffd")
COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")
HOUR = 3600 * 1_000_000
COUNT = 60


def _of_type(kind: str, key: int) -> int:
    return key_of(kind, "_tag") if key == SHARED else key + NEXT_TYPE * TYPES.index(kind)


class RandomIndex:
    """Resources with random rows, and random searches of them."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.addresses = [f"{self.dice.choice(TYPES)}/r-{number}" for number in range(COUNT)]
        self.type = TYPES[0]  # that is searched
        self.rows = {address: self._rows(address.partition("/")[0]) for address in self.addresses}
        self.suppressed = {address for address in self.addresses if self.dice.random() < 0.15}
        self.updated: dict[str, int] = {}
        self.sets: dict[str, frozenset[Term]] = {}  # the terms that a resource shares

    def resources(self) -> list[RenderedVersion]:
        """Resources to store, in random order; some share their terms with others, and some have them as before."""
        order = list(self.addresses)
        self.dice.shuffle(order)
        found = []
        for one in order:
            key = _of_type(one.partition("/")[0], SHARED)
            shared = frozenset(term for term in self.rows[one].terms if term[0] == key and self.dice.random() < 0.6)
            more = {"term_set": shared_terms.set_of(shared)} if shared else {}
            terms = self.rows[one].terms - shared
            self.sets |= {one: shared} if shared else {}
            faults = "[]" if one in self.suppressed else None
            found.append(made(one, terms=terms, moments=self.rows[one].moments, faults=faults, **more))
        return found

    def note(self, written: list[Written]) -> None:
        """Record the instants at which the resources were written."""
        self.updated.update((one.address, one.updated) for one in written)

    def search(self) -> Search:
        """Make a search with one to four clauses, one of which narrows."""
        return self.search_of(self.dice.choice(TYPES))

    def search_of(self, resource_type: str) -> Search:
        """Make a search of this type."""
        self.type = resource_type
        clauses = [self._clause(self._any) for _ in range(self.dice.randrange(4))]
        place = self.dice.randrange(len(clauses) + 1)
        clauses.insert(place, self._narrowing())
        sort = tuple(self._sort() for _ in range(self.dice.choice((1, 1, 2, 3))))
        limits: dict[str, Any] = {}
        for name in ("until", "since"):
            if self.dice.random() < 0.15:
                limits[name] = self._instant()
        return Search(self.type, tuple(clauses), place, sort, COUNT, **limits)

    def position(self, address: str, sort: tuple[Sort, ...]) -> tuple[Any, ...]:
        """Value of each sort key."""
        return tuple(self._value(address, one) for one in sort)

    def _value(self, address: str, sort: Sort) -> Any:
        if sort.by == "updated":
            return self.updated[address]
        if sort.by == "address":
            return address
        rows = self.rows[address]
        first = max if sort.descending else min
        if sort.by == "term":
            nothing = "" if sort.descending else "\U0010ffff"
            return first((value for key, value in rows.terms if key == sort.key), default=nothing)
        nothing = 1 - 2**63 if sort.descending else 2**63 - 1
        return first((low for key, low, _ in rows.moments if key == sort.key), default=nothing)

    def _sort(self) -> Sort:
        by = self.dice.choice(("updated", "address", "term", "moment", "moment"))
        keys = {"term": TESTED, "moment": MOMENTS}.get(by, (0,))
        return Sort(by, self._key(keys), self.dice.random() < 0.5)

    def _key(self, keys: tuple[int, ...], depth: int = DEPTH) -> int:
        """Choose a key: of the searched type, or of any in a chain."""
        return _of_type(self.type if depth == DEPTH else self.dice.choice(TYPES), self.dice.choice(keys))

    def _rows(self, kind: str) -> Rows:
        dice = self.dice
        terms = {(_of_type(kind, key), dice.choice(VALUES)) for key in TESTED for _ in range(dice.randrange(3))}
        references = [_of_type(kind, key) for key in REFERENCES]
        terms |= {(key, dice.choice(self.addresses)) for key in references for _ in range(dice.randrange(3))}
        moments = set()
        for key in [_of_type(kind, key) for key in MOMENTS]:
            if dice.random() < 0.8:
                low = dice.randrange(-5, 60) * HOUR
                moments.add((key, low, low + dice.choice((1, HOUR, 24 * HOUR, LONGEST))))
        return Rows(frozenset(terms), frozenset(moments))

    def _instant(self) -> int:
        return self.dice.choice(list(self.updated.values())) + self.dice.choice((-1, 0, 1))

    def _clause(self, criterion: Any) -> Clause:
        return tuple(criterion(DEPTH) for _ in range(self.dice.choice((1, 1, 1, 2, 3))))

    def _narrowing(self) -> Clause:
        if self.dice.random() < 0.2:
            return self._clause(lambda depth: self._updated())
        return self._clause(self._start)

    def _interval(self) -> tuple[int, int]:
        low = self.dice.randrange(-5, 60) * HOUR
        return low, low + self.dice.choice((1, HOUR, 24 * HOUR, 48 * HOUR))

    def _updated(self) -> Criterion:
        low = self._instant()
        return Updated(self.dice.choice(COMPARISONS), low, low + self.dice.choice((1, 5, 20)))

    def _start(self, depth: int) -> Criterion:
        """Make a criterion that a search can start from."""
        dice = self.dice
        kinds = ["is", "is", "starts", "ends", "during", "during", "at", "nothing"]
        kinds += ["refers", "referred"] if depth else []
        match dice.choice(kinds):
            case "is":
                keys, values = dice.choice(((TEXTS, VALUES), (REFERENCES, self.addresses)))
                return Is(self._key(keys, depth), dice.choice(values))
            case "starts":
                return Starts(self._key(TEXTS, depth), dice.choice(VALUES))
            case "ends":
                return Ends(self._key(TESTED, depth), dice.choice(VALUES))
            case "during":
                comparison = dice.choice([one for one in COMPARISONS if one != "ne"])
                return During(self._key(MOMENTS, depth), comparison, *self._interval())
            case "at":
                return At(dice.choice([*self.addresses, "Patient/nobody"]))
            case "refers":
                return Refers(self._key(REFERENCES, depth), self._start(depth - 1))
            case "referred":
                return Referred(self._key(REFERENCES, depth), self._start(depth - 1))
            case _:
                return Nothing()

    def _any(self, depth: int) -> Criterion:
        dice = self.dice
        kinds = ["start", "start", "shared", "ends", "contains", "during", "has", "updated"]
        kinds += ["not", "through"] if depth else []
        match dice.choice(kinds):
            case "shared":
                return dice.choice((Is, Starts))(self._key((SHARED,), depth), dice.choice(VALUES))
            case "ends":
                return Ends(self._key(TESTED, depth), dice.choice(VALUES))
            case "contains":
                return Contains(self._key(TESTED, depth), dice.choice([one for one in VALUES if one]))
            case "during":
                return During(self._key(MOMENTS, depth), dice.choice(COMPARISONS), *self._interval())
            case "has":
                kind = dice.choice(("term", "moment"))
                return Has(self._key(TESTED if kind == "term" else MOMENTS, depth), kind)
            case "updated":
                return self._updated()
            case "not":
                return Not(self._any(depth - 1))
            case "through":
                return dice.choice((Refers, Referred))(self._key(REFERENCES, depth), self._any(depth - 1))
            case _:
                return self._start(depth)
