"""Random requests to the facade: of what is visible, hidden and unknown, in every way that it can be asked for.

https://hl7.org/fhir/R4/http.html, https://hl7.org/fhir/R4/search.html. Values come from the resources of the gateway
that has everything, so that many of them are values of hidden resources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import quote

from fakes.twins.gateways import Answer, Asked

from gateway.fhir_api.served import IN_COMPARTMENT, RESOURCES
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import PARAMETERS
from mappings.patient.identifiers import fhir_id

Json = dict[str, Any]
TYPES = tuple(row.resource_type for row in RESOURCES if not row.is_binary)
_BY_TYPE: Mapping[str, tuple[Parameter, ...]] = {
    kind: tuple(one for one in PARAMETERS if one.resource_type == kind) for kind in TYPES
}
_LINKS = ("next", "next", "next", "previous", "last", "first", "self")
_NO_ONE = "f" * 32
_DATES = ("2024", "2024-03", "2024-06-15", "2026-11-01", "2026-11-01T12:20:00Z", "2026-11-01T12:40:00Z")
_COMPARISONS = ("", "ge", "le", "gt", "lt", "ne", "sa", "eb", "ap")
_ELEMENTS = ("status", "subject", "name", "code", "identifier", "text", "nothing")
_SORTED = {"_id", "_lastUpdated", "date", "status", "name", "patient"}
_JSON = ("content-type", "application/fhir+json")
_FORM = ("content-type", "application/x-www-form-urlencoded")

_SAID = ("impression", "findings", '"follow up"', "Nodule", "fracture,brain", "of 4 mm", "unchecked", "nowhere")


class RandomRequests:
    """Requests of a seed over these resources; `studies` and `users` are ids of AutoScribe, stored or not.

    Most are of `types`, of which the client may see something.
    """

    def __init__(
        self,
        dice: Random,
        resources: Mapping[str, Json],
        types: Sequence[str],
        studies: Sequence[str],
        users: Sequence[str],
    ) -> None:
        self.dice, self.types, self.asks_everything = dice, types, True
        self.of_type = {kind: [one for one in resources.values() if one["resourceType"] == kind] for kind in TYPES}
        self.ids = {kind: [str(one["id"]) for one in found] for kind, found in self.of_type.items()}
        self.ids["ImagingStudy"] += [fhir_id(one) for one in studies]
        self.ids["Practitioner"] += [fhir_id(one) for one in users]
        self.tags: list[str] = ['W/"1"', 'W/"2"', "*"]

    def request(self) -> Asked:
        """Return the next request."""
        makers = [
            (self._read, 20),
            (self._vread, 6),
            (self._history, 8),
            (self._search, 45),
            (self._posted, 4),
            (self._binary, 8),
            (self._operation, 12),
            (self._batch, 4),
            *([(self._everything, 6)] if self.asks_everything else []),
        ]
        [make] = self.dice.choices([one for one, _ in makers], [weight for _, weight in makers])
        return make()

    def note(self, answers: Sequence[Answer]) -> None:
        """Remember the ETags of answers, for requests with conditions."""
        for answer in answers:
            self.tags += [value for name, value in answer.headers if name.lower() == "etag"]
        del self.tags[:-40]

    def follow(self, links: Sequence[Mapping[str, str]]) -> list[Asked | None]:
        """Return for each of some Bundles' links by relation the request that follows one and the same relation."""
        relation = self.dice.choice(_LINKS)
        return [Asked("GET", one[relation].partition("8800")[2]) if relation in one else None for one in links]

    def _id(self, kind: str) -> str:
        """Return an id of a type; seldom an unknown or a wrong one."""
        known = self.ids[kind]
        if known and self.dice.random() < 0.9:
            return self.dice.choice(known)
        prefix = {"Patient": "pat", "Practitioner": "usr", "Organization": "org", "ImagingStudy": "stu"}.get(
            kind, "rep"
        )
        return self.dice.choice((f"{prefix}-{_NO_ONE}", f"{prefix}-{_NO_ONE}-s0", "no-such"))

    def _kind(self) -> str:
        return self.dice.choice(self.types if self.types and self.dice.random() < 0.85 else TYPES)

    def _any(self) -> tuple[str, str]:
        kind = self._kind()
        return kind, self._id(kind)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        dice, made = self.dice, []
        if dice.random() < 0.15:
            made.append(("if-none-match", dice.choice(self.tags)))
        elif dice.random() < 0.05:
            made.append(("if-modified-since", "Sun, 01 Nov 2026 12:30:00 GMT"))
        if dice.random() < 0.1:
            made.append(("cache-control", dice.choice(("no-cache", "max-age=600", "max-age=3600"))))
        if dice.random() < 0.05:
            made.append(("accept", "application/fhir+xml"))
        if dice.random() < 0.05:
            made.append(("prefer", "handling=strict"))
        return tuple(made)

    def _get(self, path: str, method: str = "GET") -> Asked:
        if method == "GET" and self.dice.random() < 0.03:
            method = "HEAD"
        return Asked(method, f"/fhir/{path}", self._headers())

    def _read(self) -> Asked:
        kind, one = self._any()
        shape = self.dice.choice(("", "", "", "?_summary=true", f"?_elements={self.dice.choice(_ELEMENTS)}"))
        return self._get(f"{kind}/{one}{shape}")

    def _vread(self) -> Asked:
        kind, one = self._any()
        return self._get(f"{kind}/{one}/_history/{self.dice.choice((1, 1, 2, 3, 'x'))}")

    def _history(self) -> Asked:
        kind, one = self._any()
        if self.dice.random() < 0.4:
            size = self.dice.choice((1, 2, 5, 50))
            since = self.dice.choice(("", "", "&_since=2026-11-01T12:20:00Z"))
            return self._get(f"{self.dice.choice(('', f'{kind}/'))}_history?_count={size}{since}")
        more = self.dice.choice(("", "", "?_count=1", "?_since=2026-11-01T12:20:00Z", "?_at=2026-11-01T12:30:00Z"))
        return self._get(f"{kind}/{one}/_history{more}")

    def _binary(self) -> Asked:
        dice = self.dice
        path = f"Binary/{self._id('DiagnosticReport')}-{dice.choice(('pdf', 'text'))}"
        headers = self._headers()
        if dice.random() < 0.3:
            headers += (("range", dice.choice(("bytes=0-9", "bytes=-5", "bytes=99999-", "bytes=3-1"))),)
        if dice.random() < 0.2:
            headers += (("accept", "application/fhir+json"),)
        return Asked(dice.choice(("GET", "GET", "GET", "HEAD")), f"/fhir/{path}", headers)

    def _operation(self) -> Asked:
        dice = self.dice
        report = self._id("DiagnosticReport")
        kind, one = self._any()
        patient = self._id("Patient")
        dates = dice.choice(("", "&start=2024-01-01", "&start=2024-06-01&end=2024-12-31"))
        match dice.randrange(6):
            case 0:
                return self._get(f"DocumentReference/$docref?patient={patient}{dates}")
            case 1:
                return self._get(f"DiagnosticReport/{report}/$hl7v2?receiver=generic")
            case 2:
                return self._get(f"DiagnosticReport/{report}/$trace")
            case 3:
                return Asked("POST", f"/fhir/{kind}/{one}/$validate", (_JSON,))
            case _:
                name = dice.choice(("$addendum", "$cancel-addendum"))
                key = ("idempotency-key", f"key-{dice.randrange(10**9)}")
                tag = (("if-match", dice.choice(self.tags)),) if dice.random() < 0.3 else ()
                return Asked("POST", f"/fhir/DiagnosticReport/{report}/{name}", (key, *tag))

    def _everything(self) -> Asked:
        dice = self.dice
        since = dice.choice(("", "", "&_since=2026-11-01T12:20:00Z"))
        types = dice.choice(("", "", f"&_type={dice.choice(TYPES)},{dice.choice(TYPES)}"))
        more = since + types + dice.choice(("", "&start=2024-03-01", "&end=2024-06", "&start=2024-02&end=2024-05-20"))
        return self._get(f"Patient/{self._id('Patient')}/$everything?_count={dice.choice((2, 5, 50))}{more}")

    def _batch(self) -> Asked:
        """Return a batch of GETs of every kind."""
        wanted: list[Asked] = []
        while len(wanted) < 4:
            makers = (self._read, self._vread, self._history, self._search, self._operation, self._everything)
            one = self.dice.choice(makers if self.asks_everything else makers[:-1])()
            if one.method == "GET":
                wanted.append(one)
        entries = [
            {"request": {"method": "GET", "url": one.path.removeprefix("/fhir/"), **_condition(one)}} for one in wanted
        ]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        return Asked("POST", "/fhir", (_JSON,), json.dumps(bundle).encode())

    def _search(self) -> Asked:
        kind = self._kind()
        place = kind
        if kind in IN_COMPARTMENT and self.dice.random() < 0.2:
            place = f"Patient/{self._id('Patient')}/{kind}"
        return self._get(f"{place}?{self._query(kind)}")

    def _posted(self) -> Asked:
        kind = self._kind()
        return Asked("POST", f"/fhir/{kind}/_search", (_FORM, *self._headers()), self._query(kind).encode())

    def _query(self, kind: str) -> str:
        """Return one to three criteria, of which one narrows, and parameters of the result."""
        dice = self.dice
        narrowing = [one for one in _BY_TYPE[kind] if one.narrows]
        pairs = [self._criterion(dice.choice(narrowing))]
        if dice.random() < 0.08:  # what only the index can bound
            row = dice.choice(narrowing)
            system = self._value(row).partition("|")[0]
            pairs = [self._has(kind) if row.type != "token" else (row.name, f"{system}|")]
        elif dice.random() < 0.3:
            pairs = [("_lastUpdated", f"{dice.choice(('ge', 'ge', 'lt'))}{dice.choice(_DATES)}")]
        for _ in range(dice.choice((0, 0, 1, 2))):
            pairs.append(self._has(kind) if dice.random() < 0.25 else self._criterion(dice.choice(_BY_TYPE[kind])))
        if kind == "DiagnosticReport" and dice.random() < 0.25:
            pairs = [("_content", dice.choice(_SAID)), *pairs[dice.choice((0, 1, 1, 1)) :]]
        pairs += self._result(kind)
        return "&".join(f"{name}={quote(value, safe='|,:/*')}" for name, value in pairs)

    def _criterion(self, row: Parameter) -> tuple[str, str]:
        dice = self.dice
        if row.chains and dice.random() < 0.35:
            return self._chain(row, 2)
        modifier = dice.choice(row.modifiers) if row.modifiers and dice.random() < 0.25 else ""
        if modifier == "missing":
            return f"{row.name}:missing", dice.choice(("true", "false"))
        values = [self._value(row) for _ in range(dice.choice((1, 1, 1, 2)))]
        return f"{row.name}{':' if modifier else ''}{modifier}", ",".join(values)

    def _chain(self, row: Parameter, steps: int) -> tuple[str, str]:
        """Return a criterion on what a reference leads to, or what that leads to."""
        dice = self.dice
        target = dice.choice(row.targets)
        of = f":{target}" if len(row.targets) > 1 or dice.random() < 0.2 else ""
        every = [one for one in _BY_TYPE.get(target, ()) if one.name in row.chains]
        if not every:
            return f"{row.name}{of}.identifier", "x"
        inner = dice.choice(every)
        if inner.chains and steps > 1 and dice.random() < 0.4:
            name, value = self._chain(inner, steps - 1)
        else:
            name, value = inner.name, self._value(inner)
        return f"{row.name}{of}.{name}", value

    def _has(self, kind: str) -> tuple[str, str]:
        """Return a criterion on what refers to a type."""
        rows = [one for one in PARAMETERS if one.type == "reference" and kind in one.targets]
        if not rows:
            return "_tag", "x"
        row = self.dice.choice(rows)
        other = self.dice.choice(_BY_TYPE[row.resource_type])
        name, value = (
            self._chain(other, 1) if other.chains and self.dice.random() < 0.3 else (other.name, self._value(other))
        )
        return f"_has:{row.resource_type}:{row.name}:{name}", value

    def _value(self, row: Parameter) -> str:
        """Return a value of a parameter, as a resource of the type has it."""
        dice = self.dice
        if row.name == "_id":
            return self._id(row.resource_type)
        if row.values:
            return dice.choice(row.values)
        if row.type == "date":
            return dice.choice(_COMPARISONS) + self._date(row)
        if row.type == "reference":
            target = dice.choice(row.targets or ("Patient",))
            return f"{target}/{self._id(target)}" if target in TYPES else f"{target}/x"
        found = [one for one in (dice.choice(self.of_type[row.resource_type] or [{}]),) if one]
        texts = [text for one in found for path in row.paths for text in _texts(_at(one, path.split(".")), row.type)]
        return re.sub(r"([\\,$])", r"\\\1", dice.choice(texts)) if texts else "x"

    def _date(self, row: Parameter) -> str:
        one = self.dice.choice(self.of_type[row.resource_type] or [{}])
        found = [value for path in row.paths for value in _at(one, path.split(".")) if isinstance(value, str)]
        if row.name == "_lastUpdated" or not found or self.dice.random() < 0.4:
            return self.dice.choice(_DATES)
        return str(self.dice.choice(found))[: self.dice.choice((4, 7, 10))]

    def _result(self, kind: str) -> list[tuple[str, str]]:
        dice, made = self.dice, []
        sorts = [
            one.name
            for one in _BY_TYPE[kind]
            if one.name in {"_id", "_lastUpdated", "date", "status", "name", "patient"}
        ]
        choices = (
            ("_count", str(dice.choice((0, 1, 2, 3, 5, 50)))),
            ("_sort", ",".join(dice.choice(("", "-")) + dice.choice(sorts) for _ in range(dice.choice((1, 2))))),
            ("_total", dice.choice(("none", "estimate", "accurate"))),
            ("_summary", dice.choice(("true", "text", "data", "count", "false"))),
            ("_elements", dice.choice(_ELEMENTS)),
            ("_explain", "true"),
            ("_format", "xml"),
        )
        made += [pair for pair in choices if dice.random() < (0.45 if pair[0] == "_count" else 0.12)]
        references = [one for one in PARAMETERS if one.type == "reference" and one.targets]
        forth = [one for one in references if one.resource_type == kind]
        back = [one for one in references if kind in one.targets]
        if forth and dice.random() < 0.25:
            row = dice.choice(forth)
            target = f":{dice.choice(row.targets)}" if dice.random() < 0.3 else ""
            made.append(("_include", f"{kind}:{row.name}{target}"))
        if dice.random() < 0.06:
            made.append(("_include", "*"))
        if back and dice.random() < 0.25:
            row = dice.choice(back)
            made.append(("_revinclude", f"{row.resource_type}:{row.name}"))
        if made and dice.random() < 0.15:
            row = dice.choice(references)
            made.append(("_include:iterate", f"{row.resource_type}:{row.name}"))
        return made


def _condition(asked: Asked) -> dict[str, str]:
    found = [value for name, value in asked.headers if name == "if-none-match"]
    return {"ifNoneMatch": found[0]} if found else {}


def _at(value: Any, steps: Sequence[str]) -> list[Any]:
    """Return the values at a path of element names."""
    if isinstance(value, list):
        return [found for one in value for found in _at(one, steps)]
    if not steps:
        return [value]
    return _at(value[steps[0]], steps[1:]) if isinstance(value, dict) and steps[0] in value else []


def _texts(values: Sequence[Any], kind: str) -> list[str]:
    """Return what a search of a kind would ask for to find these values."""
    if kind == "string":
        leaves = re.findall(r"\w{2,}", json.dumps(values, ensure_ascii=False))
        return [one for one in leaves if one not in {"text", "use", "family", "given", "suffix", "prefix"}]
    found: list[str] = []
    for value in values:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for one in value.get("coding", [value]):
                code = str(one.get("code", one.get("value", "")))
                found += [code, f"{one['system']}|{code}"] if "system" in one and code else [code] if code else []
    return found


def links(answer: Answer) -> dict[str, str]:
    """Return the links of a Bundle in JSON by relation; none of anything else."""
    if answer.status != 200 or not answer.body.startswith(b'{"resourceType":"Bundle"'):
        return {}
    return {one["relation"]: one["url"] for one in json.loads(answer.body).get("link", ())}
