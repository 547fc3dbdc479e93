"""Parse the parameters of a search into a Query, limited to what the client may see; report ignored parameters.

https://hl7.org/fhir/R4/search.html, decision D30. Repeated parameters mean AND, comma-separated values mean OR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from gateway.auth.visibility import EVERYTHING, Visibility
from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.query import MOST_COUNT, RESULT_PARAMETERS, USUAL_COUNT, Parameters, count_of, value_of
from gateway.fhir_api.http.summary import Shape, unknown_elements, wanted_shape
from gateway.fhir_api.search.askable import askable, check_include, check_order
from gateway.fhir_api.search.result_parameters import Include, check, includes, sorts
from gateway.index.criteria import At, Clause, Is
from gateway.index.parameter_lookup import parameter
from gateway.index.parameter_table import CONTENT
from gateway.index.reading import asked
from gateway.index.report_words import content_clause
from gateway.index.search_value import Circumstances
from gateway.index.sorting import sort_keys_of
from gateway.index.standard import is_standard
from gateway.runtime.request_errors import NotSupported, SearchTooCostly
from gateway.store.studies.search_sql import Search, Sort, cheapest, usual_sort

MOST_CLAUSES: Final = 30
MOST_ALTERNATIVES: Final = 100
MOST_CRITERIA: Final = 300  # in all parameters together: a database takes seconds to plan thousands
_PATIENT: Final = "Patient/"
BY_ADDRESS: Final = Sort("address")


@dataclass(slots=True)
class Query:
    """A search of a resource type; `used` are the parameters that apply, in order, `ignored` reports the others.

    `warnings` are further warnings, `remarks` are notes shown with `_explain` only. `narrowing` are the indices of the
    clauses that the SQL may start from; `start` is the index chosen. `chained_types` are other types that the search
    reads: those of chains and of `_has`. `sight` is what the client may see: its limits are clauses of every search.
    """

    resource_type: str
    clauses: list[Clause] = field(default_factory=list)
    narrowing: list[int] = field(default_factory=list)
    start: int = 0
    sort: tuple[Sort, ...] = ()
    count: int = field(default_factory=lambda: USUAL_COUNT)
    shape: Shape = field(default_factory=Shape)
    includes: list[Include] = field(default_factory=list)
    total: str = ""
    explain: bool = False
    chained_types: set[str] = field(default_factory=set)
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[Issue] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)
    remarks: list[Issue] = field(default_factory=list)
    sight: Visibility = EVERYTHING

    @property
    def limits(self) -> tuple[Clause, ...]:
        """Clauses that narrow the search to what the client may see."""
        return self.sight.limits(self.resource_type, "s")

    @property
    def is_unversioned(self) -> bool:
        """True if the order and times of changes must stay hidden, since some come from hidden studies."""
        return self.sight.is_unversioned(self.resource_type)

    @property
    def is_count(self) -> bool:
        """True if only the total is asked for."""
        return self.shape.summary == "count" or self.count == 0

    @property
    def asks_for_words(self) -> bool:
        """True if it asks for words of reports."""
        return any(name == CONTENT.name for name, _ in self.used)

    @property
    def patient_keys(self) -> frozenset[int]:
        """Keys of the search parameters that refer to the Patient (`patient`, `subject`)."""
        return _patient_keys(self.resource_type)

    @property
    def patients(self) -> tuple[str, ...]:
        """Ids of the Patients that the query names."""
        keys = self.patient_keys
        addresses = [
            one.address if isinstance(one, At) else one.value
            for clause in self.clauses
            for one in clause
            if isinstance(one, At) or (isinstance(one, Is) and one.key in keys)
        ]
        return tuple([one.removeprefix(_PATIENT) for one in addresses if one.startswith(_PATIENT)])

    def search(self, most: int, **place: Any) -> Search:
        """Build the store search for at most `most` matches; `place` is the page position."""
        limits = self.limits
        # Chains go over visible resources only
        clauses = self.clauses if self.sight.is_whole else (*map(self.sight.narrowed, self.clauses), *limits)
        return Search(self.resource_type, tuple(clauses), self.start, self.sort, most, limits=limits, **place)


@cache
def _patient_keys(resource_type: str) -> frozenset[int]:
    return frozenset(row.key for name in ("patient", "subject") if (row := parameter(resource_type, name)))


def understand(
    resource_type: str, given: Parameters, where: Circumstances, *, strict: bool, sight: Visibility = EVERYTHING
) -> Query:
    """Parse the parameters into a query for a client with this visibility.

    Raises:
        BadRequest: a malformed value.
        NotSupported: an unsupported modifier; when strict, anything that would be ignored; or what a limited client
            may not ask.
        SearchTooCostly: nothing narrows the search, or it has too many values.
    """
    query, unsure = Query(resource_type, sight=sight), list[int]()
    for name, value in given:
        if name.partition(":")[0] in RESULT_PARAMETERS:
            _shape(query, name, value)
        else:
            unsure += _criterion(query, name, value, where)
    keys = _shape_all(query, given) if any(name.startswith("_") for name, _ in given) else ()
    if strict:
        insist(query)
    if sight.is_whole:
        query.narrowing = query.narrowing or unsure
    if not query.narrowing:
        raise SearchTooCostly("nothing narrows this search")
    if len(query.clauses) > MOST_CLAUSES or max(map(len, query.clauses)) > MOST_ALTERNATIVES:
        raise SearchTooCostly(f"more than {MOST_CLAUSES} parameters, or than {MOST_ALTERNATIVES} values of one")
    if sum(map(len, query.clauses)) > MOST_CRITERIA:
        raise SearchTooCostly(f"more than {MOST_CRITERIA} values of all parameters together")
    _order(query, keys)
    return query


def _order(query: Query, keys: tuple[Sort, ...]) -> None:
    """Choose the clause that the search starts from, and the sort order."""
    every = (*query.clauses, *query.limits)
    of_patient = [place for place, one in enumerate(every) if place >= len(query.clauses) and _is_of_patient(one)]
    query.start = cheapest(every, [*query.narrowing, *of_patient])
    if query.is_unversioned:
        query.sort = keys if BY_ADDRESS in keys else (*keys, BY_ADDRESS)
    else:
        query.sort = keys or (usual_sort(every, query.start),)


def _is_of_patient(clause: Clause) -> bool:
    """True for a limit to one patient, which leaves few resources."""
    match clause:
        case (At(address=address),) | (Is(value=address),):
            return address.startswith(_PATIENT)
    return False


def _shape_all(query: Query, given: Parameters) -> tuple[Sort, ...]:
    """Apply page size, shape, total and `_explain` to the query; return the sort keys."""
    _size(query, given)
    query.shape = wanted_shape(given)
    query.total, query.explain = value_of(given, "_total") or "", value_of(given, "_explain") == "true"
    if unknown_elements(query.resource_type, query.shape):
        ignore(query, "_elements", "an element that this type does not have")
    return _sort_keys(query, given)


def ignore(query: Query, name: str, diagnostics: str) -> None:
    """Report a parameter as ignored."""
    expression = f"http.{name.partition(':')[0]}"
    query.ignored.append(Issue("warning", "not-supported", diagnostics, "parameter-ignored", expression=expression))


def insist(query: Query) -> None:
    """Refuse the search if any parameter was ignored.

    Raises:
        NotSupported: a parameter was ignored.
    """
    for one in query.ignored:
        raise NotSupported(one.diagnostics, expression=one.expression)


def _criterion(query: Query, name: str, value: str, where: Circumstances) -> Sequence[int]:
    """Add a search criterion; return its clauses' places if only the index can tell whether they narrow the search."""
    if where.has_words and (query.resource_type, name) == (CONTENT.resource_type, CONTENT.name):
        query.clauses.append(content_clause(value))
        query.used.append((name, value))
        return (len(query.clauses) - 1,)
    parsed = asked(query.resource_type, name, value, where)
    if parsed is None:
        ignore(query, name, "this parameter is not known here and is not used")
        return ()
    clauses = parsed.clauses if query.sight.is_whole else askable(query.sight, query.resource_type, name, parsed)
    places = range(len(query.clauses), len(query.clauses) + len(clauses))
    if parsed.narrows:
        query.narrowing += places
    query.clauses += clauses
    query.chained_types |= parsed.route.other_types
    query.used.append((name, value))
    if parsed.has_unknown_code:
        diagnostics = "a code that this element cannot have: it finds nothing"
        query.warnings.append(Issue("warning", "code-invalid", diagnostics, "unknown-code", expression=f"http.{name}"))
    return places if parsed.may_narrow and not parsed.narrows else ()


def _shape(query: Query, name: str, value: str) -> None:
    """Apply one result parameter, except `_sort`, whose keys `_sort_keys` reports one by one."""
    check(name, value)
    if name == "_sort":
        return
    if name.startswith(("_include", "_revinclude")):
        inclusions = includes(query.resource_type, name, value)
        if not inclusions:
            ignore(query, name, "this is not offered and is not used; /fhir/metadata lists what is")
            return
        for inclusion in inclusions:
            check_include(query.sight, inclusion, name)
        query.includes += inclusions
    query.used.append((name, value))


def _size(query: Query, given: Parameters) -> None:
    query.count = count_of(given)
    if query.count == MOST_COUNT and int(value_of(given, "_count") or 0) > MOST_COUNT:
        diagnostics = f"there are no more than {MOST_COUNT} to a page"
        query.remarks.append(Issue("information", "informational", diagnostics, "count-cut", expression="http._count"))


def _sort_keys(query: Query, given: Parameters) -> tuple[Sort, ...]:
    keys, unknown = sorts(query.resource_type, given)
    if keys:
        query.used.append(("_sort", ",".join(keys)))
    if unknown:
        kind = query.resource_type
        known = [one for one in unknown if parameter(kind, one) or is_standard(kind, one)]
        others = ["a name that is no parameter here"] if len(known) < len(unknown) else []  # what it says is not shown
        named, keys_there = ", ".join([*known, *others]), ", ".join(sort_keys_of(kind))
        ignore(query, "_sort", f"_sort: not sorted by {named}; the keys of {kind}: {keys_there}")
    check_order(query.sight, query.resource_type, keys.values())
    return tuple(keys.values())
