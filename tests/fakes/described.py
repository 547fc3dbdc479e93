"""Requests that schemathesis makes from a running gateway's OpenAPI document and the gateway's own data.

https://spec.openapis.org/oas/v3.1.1.html#parameter-object. Requests made from a document alone hardly ever find
anything. So most of these ask for existing resources, and only sometimes for a value that schemathesis made up.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import httpx
import schemathesis
from fakes.crawled import OF_EVERY_TYPE, PATHS, asked_for
from hypothesis import strategies as st
from schemathesis import BaseSchema, Case, GenerationMode, HookContext

from gateway.fhir_api.http.query import RESULT_PARAMETERS

Json = dict[str, Any]
Cases = st.SearchStrategy[Case]
BASE = "/fhir"
# RFC 9110 §5.1 and §5.5; an HTTP server refuses everything else itself
_FIELD = re.compile(r"[!#-'*+.^`|~\w-]+:[\t\x20-\x7e\x80-\xff]*", re.ASCII)
_SELDOM = st.sampled_from((False, False, False, True))
_NARROWING = ("_id", "_lastUpdated", "patient")
# Values with one example in the document, and no list
_OTHERS = {
    "_count": ("1", "3", "500", "0"),
    "_format": ("json", "xml"),
    "_sort": ("-_lastUpdated", "_id", "nonsense"),
    "_elements": ("id", "status,code,subject", "nonsense"),
}


class Quiet:
    """Object too large for a message of Hypothesis."""

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(type(self).__name__)


@dataclass(frozen=True, repr=False)
class Row(Quiet):
    """An operation: the document's values of its parameters, the required ones, and the searchable values."""

    values: Mapping[str, Sequence[str]]
    needed: Sequence[str]
    resources: Sequence[Json]
    searched: Sequence[str]


@st.composite
def asked(draw: st.DrawFn, made: st.SearchStrategy[Json], row: Row) -> Json:
    """Draw parameters that find a resource, a few from the document, and seldom some made-up ones."""
    parameters = {name: draw(st.sampled_from(row.values[name])) for name in row.needed}
    if row.searched and row.resources:
        resource = draw(st.sampled_from(row.resources))
        known = {name: value for name in row.searched if (value := asked_for(resource, name))}
        narrowing = [name for name in _NARROWING if name in known]
        parameters |= {name: known[name] for name in (draw(st.sampled_from(narrowing)), *draw(_some(known, 2)))}
    shown = [*draw(_some(row.values.keys() & RESULT_PARAMETERS.keys(), 4))]
    shown += draw(_some(row.values, 2)) if draw(_SELDOM) else []
    parameters |= {name: draw(st.sampled_from(row.values[name])) for name in shown}
    if draw(_SELDOM):
        given = draw(made)
        if isinstance(given, dict) and given:
            parameters |= {name: given[name] for name in draw(_some(given, 2))}
    return parameters


def _some(names: Collection[str], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(names)), max_size=most, unique=True) if names else st.just([])


@st.composite
def batches(draw: st.DrawFn, described: Described) -> Json:
    """Draw a batch of reads and searches of existing resources."""
    urls = draw(st.lists(st.sampled_from(described.urls), min_size=1, max_size=4))
    rows = [{"request": {"method": "GET", "url": url}} for url in urls]
    return {"resourceType": "Bundle", "type": "batch", "entry": rows}


@st.composite
def damaged(draw: st.DrawFn, made: st.SearchStrategy[Any], row: Row) -> Any:
    """Draw a served resource, often with a made-up value in it."""
    if not row.resources:
        return draw(made)
    one, given = draw(st.sampled_from(row.resources)), draw(made)
    if not isinstance(given, dict) or draw(st.booleans()):
        return one
    return {**one, draw(st.sampled_from(sorted(one))): draw(st.sampled_from([*given.values()]))}


@dataclass(frozen=True, repr=False)
class Operation(Quiet):
    """An operation and its cases: those with existing data, those from the document alone, those that break it."""

    label: str
    is_search: bool
    knowing: Cases
    plain: Cases
    breaking: Cases


@st.composite
def any_of(draw: st.DrawFn, *operations: Operation) -> Case:
    """Draw a case of one operation: two thirds of searches and half of others use existing data."""
    one = operations[draw(st.integers(0, len(operations) - 1))]
    kind = draw(st.integers(-4 if one.is_search else -2, 1))
    return draw((one.plain, one.breaking)[kind] if kind >= 0 else one.knowing)


@dataclass(frozen=True, repr=False)
class Described(Quiet):
    """OpenAPI document of a gateway, and all resources that its searches find, by type."""

    document: Json
    resources: Mapping[str, Sequence[Json]]

    @cached_property
    def operations(self) -> list[Operation]:
        """All operations of the document."""
        plain, knowing = _schema(self.document), _schema(self.document)
        self._tell(knowing)
        return [
            Operation(
                f"{method.upper()} {path}",
                self._is_search(path, method),
                knowing[path][method.upper()].as_strategy(),
                plain[path][method.upper()].as_strategy(),
                plain[path][method.upper()].as_strategy(GenerationMode.NEGATIVE),
            )
            for path, item in self.document["paths"].items()
            for method in item
        ]

    @cached_property
    def urls(self) -> list[str]:
        """Reads and searches of every resource, below the base."""
        named = [(kind, one) for kind in self.resources for one in self._ids(kind)]
        return [url for kind, one in named for url in (f"{kind}/{one}", f"{kind}?{urlencode({'_id': one})}")]

    def _tell(self, schema: BaseSchema) -> None:
        """Make schemathesis request existing resources."""

        @schema.hook
        def before_generate_query(context: HookContext, made: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
            path, method = context.operation.path, context.operation.method
            return made if path.endswith("/_search") else asked(made, self._row(path, method))

        @schema.hook
        def before_generate_path_parameters(context: HookContext, made: st.SearchStrategy[Json]) -> Any:
            ids = self._ids(_kind(context.operation.path))
            return st.fixed_dictionaries({"id": st.sampled_from(ids), "version": st.just("1")}) if ids else made

        @schema.hook
        def before_generate_body(context: HookContext, made: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
            path = context.operation.path
            row = self._row(path, context.operation.method)
            if path == BASE:
                return batches(self)
            return asked(made, row) if row.searched else damaged(made, row) if row.resources else made

    def _row(self, path: str, method: str) -> Row:
        kind = _kind(path)
        is_search = self._is_search(path, method)
        at = (f"{BASE}/{kind}", "get") if is_search else (path, method.lower())
        rows = [one for one in self.document["paths"][at[0]][at[1]].get("parameters", ()) if one["in"] == "query"]
        values = {one["name"]: _values(one) for one in rows if "example" in one}
        needed = [one["name"] for one in rows if one.get("required")]
        searched = (*OF_EVERY_TYPE, *PATHS.get(kind, {})) if is_search else ()
        return Row(values, needed, self.resources.get(kind, ()), searched)

    def _ids(self, kind: str) -> list[str]:
        if kind == "Binary":
            return [f"{one['id']}-{form}" for one in self.resources["DiagnosticReport"] for form in ("text", "pdf")]
        return [one["id"] for one in self.resources.get(kind, ())]

    def _is_search(self, path: str, method: str) -> bool:
        by_get, by_form = (f"{BASE}/{_kind(path)}", "get"), (f"{BASE}/{_kind(path)}/_search", "post")
        return by_form[0] in self.document["paths"] and (path, method.lower()) in {by_get, by_form}


def _schema(document: Json) -> BaseSchema:
    schema = schemathesis.openapi.from_dict(document)

    @schema.hook
    def filter_headers(_: HookContext, headers: Mapping[str, str]) -> bool:
        return all(_FIELD.fullmatch(f"{name}:{value}") for name, value in (headers or {}).items())

    return schema


def _kind(path: str) -> str:
    """Resource type in a path, if any."""
    return path.removeprefix(BASE).strip("/").partition("/")[0]


def _values(parameter: Json) -> Sequence[str]:
    listed = parameter["schema"].get("enum", ())
    return (parameter["example"], *listed, *_OTHERS.get(parameter["name"], ()))


def described(root: str) -> Described:
    """Read the gateway at that address."""
    with httpx.Client(base_url=root) as client:
        document = client.get("/openapi.json").json()
        searched = [path for path in document["paths"] if f"{path}/{{id}}" in document["paths"]]
        return Described(document, {_kind(path): [*_found(client, path, document)] for path in searched})


def _found(client: httpx.Client, path: str, document: Json) -> Iterator[Json]:
    """Yield every resource of a type, page by page."""
    takes = {row["name"] for row in document["paths"][path]["get"]["parameters"]}
    asked = {name: value for name, value in (("_lastUpdated", "ge2000"), ("_count", "500")) if name in takes}
    url = f"{path}?{urlencode(asked)}"
    while url:
        bundle = client.get(url).json()
        yield from (one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match")
        url = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), "")
