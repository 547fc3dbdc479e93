"""Facade over a fully crawled sandbox, and the oracle of its searches, which reads only the resources.

https://hl7.org/fhir/R4/search.html, implemented by brute force: every resource is compared with the query.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import combining, normalize
from urllib.parse import urlencode

import httpx
from fakes.criteria import compares
from fakes.facade import BASE, Stage, facade
from fakes.store import resource_of

from gateway.fhir_api.http.summary import SUBSETTED
from gateway.store.database.engine import Statement
from mappings.fhir.judge import judge

Json = dict[str, Any]
Pairs = Sequence[tuple[str, str]]
_ALL = Statement(
    "SELECT v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
    " AND v.version = r.version WHERE r.is_suppressed = 0 ORDER BY r.address"
)
# A stored PDF is due until the resources of its study show it
_UNFINISHED = Statement("SELECT 1 FROM pdf WHERE state = 'wanted' OR (state = 'kept' AND due < :never) LIMIT 1")
_NEVER = 2**62
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Parameter -> kind and path, first those equal for all types, then by type
OF_EVERY_TYPE = {"_id": ("token", "id"), "_lastUpdated": ("date", "meta.lastUpdated")}
PATHS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "DiagnosticReport": {
        "patient": ("reference", "subject"),
        "category": ("token", "category"),
        "code": ("token", "code"),
        "date": ("date", "effectiveDateTime"),
        "issued": ("date", "issued"),
        "status": ("token", "status"),
        "identifier": ("token", "identifier"),
    },
    "Patient": {
        "identifier": ("token", "identifier"),
        "name": ("string", "name"),
        "family": ("string", "name.family"),
        "given": ("string", "name.given"),
        "birthdate": ("date", "birthDate"),
        "gender": ("token", "gender"),
        "death-date": ("date", "deceasedDateTime"),
    },
    "Practitioner": {"identifier": ("token", "identifier"), "name": ("string", "name")},
    "PractitionerRole": {
        "practitioner": ("reference", "practitioner"),
        "organization": ("reference", "organization"),
        "specialty": ("token", "specialty"),
    },
    "Organization": {"name": ("string", "name"), "address": ("string", "address")},
    "DocumentReference": {
        "patient": ("reference", "subject"),
        "type": ("token", "type"),
        "category": ("token", "category"),
        "date": ("date", "date"),
        "status": ("token", "status"),
        "period": ("date", "context.period"),
    },
    "Observation": {
        "patient": ("reference", "subject"),
        "category": ("token", "category"),
        "code": ("token", "code"),
        "date": ("date", "effectiveDateTime"),
        "status": ("token", "status"),
    },
    "ServiceRequest": {
        "patient": ("reference", "subject"),
        "category": ("token", "category"),
        "code": ("token", "code"),
        "authored": ("date", "authoredOn"),
        "status": ("token", "status"),
    },
}


@dataclass
class World:
    """The stage and every served resource, by type."""

    stage: Stage
    resources: dict[str, list[Json]]
    by_address: dict[str, Json]
    judged: set[tuple[str, str]] = field(default_factory=set)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.stage.get(path, **more)

    async def post(self, resource_type: str, pairs: Pairs) -> httpx.Response:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{BASE}/{resource_type}/_search"
        return await self.stage.client.post(url, content=urlencode(pairs), headers=form)

    async def bundle(self, query: str, **more: Any) -> Json:
        """Return the Bundle of a search."""
        return self.seen(await self.get(query, **more))

    def seen(self, response: httpx.Response) -> Json:
        """Return the Bundle of an answer after judging each of its resources."""
        assert response.status_code == 200, response.text
        bundle = response.json()
        for entry in bundle.get("entry", ()):
            one = entry["resource"]
            key = (f"{one['resourceType']}/{one.get('id')}", one.get("meta", {}).get("versionId", ""))
            if entry["search"]["mode"] != "outcome" and key not in self.judged:
                assert entry["fullUrl"] == f"{BASE}/{key[0]}"
                is_whole = SUBSETTED not in one["meta"].get("tag", ())
                faults = {fault.pointer for fault in judge(as_made(one))}
                assert faults <= (set() if is_whole else {"/text"}), "of a part the narrative may be left out"
                self.judged |= {key} if is_whole else set()
        return bundle

    def expected(self, resource_type: str, pairs: Pairs) -> set[str]:
        """Ids that the brute-force search finds."""
        return {one["id"] for one in self.resources[resource_type] if all(holds(one, *pair) for pair in pairs)}

    async def check(self, resource_type: str, pairs: Pairs) -> set[str]:
        """Assert that a search finds exactly the expected resources, by GET and by POST; return their ids."""
        bundle = await self.bundle(f"{resource_type}?{urlencode([*pairs, ('_count', '500')])}")
        posted = self.seen(await self.post(resource_type, [*pairs, ("_count", "500")]))
        found_ids = ids(bundle)
        assert sorted(found_ids) == sorted(ids(posted))
        assert len(set(found_ids)) == len(found_ids) == bundle["total"] == posted["total"]
        assert set(found_ids) == self.expected(resource_type, pairs), pairs
        return set(found_ids)

    def some(self, resource_type: str, most: int = 6) -> list[Json]:
        """Return some resources of a type, always the same."""
        every = self.resources[resource_type]
        return every[:: max(1, len(every) // most)][:most]


@asynccontextmanager
async def crawled(*switches: str) -> AsyncIterator[World]:
    """Open the facade over a sandbox fully crawled with all PDFs: nothing changes from then on."""
    async with facade(*switches, roles=("api", "sync")) as stage:
        serving = stage.app.state.facade
        for _ in range(1_200):
            if serving.sweep().finished is not None and not await serving.engine.fetch(_UNFINISHED, never=_NEVER):
                break
            await asyncio.sleep(0.05)
        rows = await serving.engine.fetch(_ALL)
        resources: dict[str, list[Json]] = {}
        for row in rows:
            resources.setdefault((one := resource_of(*row))["resourceType"], []).append(one)
        every = {f"{kind}/{one['id']}": one for kind, found in resources.items() for one in found}
        yield World(stage, resources, every)


def as_made(resource: Json) -> Json:
    """Return a resource as the mappings made it, with only the claimed profiles in its meta."""
    profiles = resource["meta"].get("profile")
    made = {key: value for key, value in resource.items() if key != "meta"}
    return {**made, "meta": {"profile": profiles}} if profiles else made


def ids(bundle: Json, mode: str = "match") -> list[str]:
    """Ids of the entries of a search mode, in order."""
    return [one["id"] for one in entries(bundle, mode)]


def entries(bundle: Json, mode: str = "match") -> list[Json]:
    """Resources of the entries of a search mode, in order."""
    return [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == mode]


def issues(bundle: Json) -> list[Json]:
    """Issues of the OperationOutcomes in a Bundle; `detail` is our code."""
    found = [one for outcome in entries(bundle, "outcome") for one in outcome["issue"]]
    return [{**one, "detail": one.get("details", {}).get("coding", [{}])[0].get("code")} for one in found]


def links(bundle: Json) -> dict[str, str]:
    """Links of a Bundle by relation."""
    return {one["relation"]: one["url"] for one in bundle["link"]}


def asked_for(resource: Json, name: str) -> str | None:
    """Return a value of a parameter that finds the resource; None if there is none."""
    kind, path = _path(resource["resourceType"], name)
    for value in _values(resource, path):
        if kind == "date":
            return _day(value)
        if kind == "string":
            return next((escaped(text.split()[0]) for text in _texts(value)), None)
        for system, code in _atoms(kind, value):
            return escaped(code) if system is None else f"{escaped(system)}|{escaped(code)}"
    return None


def holds(resource: Json, name: str, asked: str) -> bool:
    """True if a resource matches the value of a parameter: any of its alternatives between commas."""
    kind, path = _path(resource["resourceType"], name)
    alternatives = re.split(r"(?<!\\),", asked)
    return any(_fits(kind, value, one) for value in _values(resource, path) for one in alternatives)


def escaped(text: str) -> str:
    r"""Put `\` before each character that a value must not hold."""
    return re.sub(r"([\\,|$])", r"\\\1", text)


def interval(text: str) -> tuple[int, int]:
    """Interval of a date in microseconds; a date without an offset is in UTC."""
    if "T" not in text:
        year, month, day = [*map(int, text.split("-")), 0, 0][:3]
        low = datetime(year, month or 1, day or 1, tzinfo=UTC)
        high = low + timedelta(days=1)
        if not day:
            high = datetime(year + (month in (0, 12)), 1 if month in (0, 12) else month + 1, 1, tzinfo=UTC)
        return (low - _EPOCH) // _MICROSECOND, (high - _EPOCH) // _MICROSECOND
    at = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    is_minute = re.search(r"T\d\d:\d\d(?!:)", text)
    return at, at + (1 if "." in text else 60_000_000 if is_minute else 1_000_000)


def _path(resource_type: str, name: str) -> tuple[str, str]:
    return OF_EVERY_TYPE.get(name) or PATHS[resource_type][name]


def _values(resource: Any, path: str) -> Iterator[Any]:
    """Yield the values at a path, through any lists in between."""
    first, _, rest = path.partition(".")
    value = resource.get(first) if isinstance(resource, dict) else None
    for item in value if isinstance(value, list) else [] if value is None else [value]:
        if rest:
            yield from _values(item, rest)
        else:
            yield item


def _fits(kind: str, value: Any, asked: str) -> bool:
    if kind == "date":
        return _compares(value, asked)
    if kind == "string":
        wanted = _folded(_plain(asked))
        return any(_folded(text).startswith(wanted) for text in _texts(value))
    system, bar, code = asked.partition("|")
    wanted_system, wanted_code = (_plain(system), _plain(code)) if bar else (None, _plain(system))
    return any(
        _cased(system, code) == _cased(system, wanted_code)
        and (wanted_system is None or system in {None, wanted_system})
        for system, code in _atoms(kind, value)
    )


def _atoms(kind: str, value: Any) -> Iterable[tuple[str | None, str]]:
    """Codes of a value with their systems; for a reference, all its forms."""
    if kind == "reference":
        reference = value["reference"]
        return [(None, one) for one in (reference, reference.partition("/")[2], f"{BASE}/{reference}")]
    if isinstance(value, str):
        return [(None, value)]
    if "value" in value:
        return [(value["system"], value["value"])]
    return [(one["system"], one["code"]) for one in value.get("coding", ())]


def _cased(system: str | None, code: str) -> str:
    """Return a code as it is compared: only in LOINC does its case not count."""
    return code.upper() if system == "http://loinc.org" else code


def _compares(value: Any, asked: str) -> bool:
    prefix, text = (asked[:2], asked[2:]) if asked[:2].isalpha() else ("eq", asked)
    first, last = (value["start"], value["end"]) if isinstance(value, dict) else (value, value)
    return compares(prefix, (interval(first)[0], interval(last)[1]), interval(text))


def _day(value: Any) -> str:
    first = value["start"] if isinstance(value, dict) else value
    return (_EPOCH + timedelta(microseconds=interval(first)[0])).date().isoformat()


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a string, or of the parts of a name or an address."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    else:
        for key in ("text", "family", "given", "prefix", "suffix"):
            yield from _texts(value.get(key, []))


def _folded(text: str) -> str:
    return "".join(one for one in normalize("NFKD", text) if not combining(one)).casefold()


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
