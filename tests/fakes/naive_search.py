"""A naive FHIR search: it compares every resource with the query, as R4 says in words, and knows no index and no SQL.

https://hl7.org/fhir/R4/search.html; the elements are those of https://hl7.org/fhir/R4/searchparameter-registry.html.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any
from unicodedata import combining, normalize

from fakes.crawled import interval
from fakes.criteria import compares

Json = dict[str, Any]
World = Mapping[str, Json]  # by address
BASE = "http://gateway.example/fhir"
LOINC = "http://loinc.org"
_TARGET = {"subject": "Patient", "encounter": "Encounter"}
_MEMBER = {"patient": ("reference", "subject"), "subject": ("reference", "subject")}
_CODED = {"code": ("token", "code"), "category": ("token", "category"), "status": ("code", "status")}
_NAMED = {"name": ("string", "name"), "family": ("string", "name.family"), "given": ("string", "name.given")}
_VISIT = {"encounter": ("reference", "encounter")}
_NUMBERED = {"identifier": ("token", "identifier")}
# Type -> parameter -> kind and elements
ELEMENTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "DiagnosticReport": {
        **_NUMBERED,
        **_MEMBER,
        **_CODED,
        "date": ("date", "effectiveDateTime effectivePeriod"),
        "issued": ("date", "issued"),
        "based-on": ("reference", "basedOn"),
        "performer": ("reference", "performer"),
        "results-interpreter": ("reference", "resultsInterpreter"),
        "result": ("reference", "result"),
        "conclusion": ("token", "conclusionCode"),
        **_VISIT,
        "basedOn": ("reference", "basedOn"),
        "imagingStudy": ("study", "imagingStudy"),
        "study": ("study", "imagingStudy"),
        "critical": ("truth", "isCritical"),
        "addendum": ("truth", "isAddendum"),
        "_content": ("words", "presentedForm"),
        "signed": ("date", "_signed"),  # no element of R4: when the report itself was signed
    },
    "Patient": {
        **_NUMBERED,
        **_NAMED,
        "birthdate": ("date", "birthDate"),
        "gender": ("code", "gender"),
        "active": ("truth", "active"),
        "telecom": ("token", "telecom"),
        "death-date": ("date", "deceasedDateTime"),
        "address": ("string", "address"),
        "organization": ("reference", "managingOrganization"),
    },
    "Practitioner": {**_NUMBERED, **_NAMED, "address": ("string", "address")},
    "PractitionerRole": {
        **_NUMBERED,
        "practitioner": ("reference", "practitioner"),
        "organization": ("reference", "organization"),
        "role": ("token", "code"),
        "specialty": ("token", "specialty"),
    },
    "Organization": {**_NUMBERED, "name": ("string", "name alias"), "address": ("string", "address")},
    "Observation": {
        **_NUMBERED,
        **_MEMBER,
        **_CODED,
        "date": ("date", "effectiveDateTime effectivePeriod"),
        "performer": ("reference", "performer"),
        "interpretation": ("token", "interpretation"),
        **_VISIT,
    },
    "ImagingStudy": {
        **_NUMBERED,
        **_MEMBER,
        "started": ("date", "started"),
        "modality": ("token", "modality"),
        "status": ("code", "status"),
        "basedon": ("reference", "basedOn"),
    },
    "Encounter": {
        **_NUMBERED,
        **_MEMBER,
        "date": ("date", "period"),
        "class": ("token", "class"),
        "type": ("token", "type"),
        "status": ("code", "status"),
        "location": ("reference", "location.location"),
        "discharge-disposition": ("token", "hospitalization.dischargeDisposition"),
    },
    "DocumentReference": {
        "identifier": ("token", "masterIdentifier identifier"),
        **_MEMBER,
        "type": ("token", "type"),
        "category": ("token", "category"),
        "status": ("code", "status"),
        "date": ("date", "date"),
        "period": ("date", "context.period"),
        "author": ("reference", "author"),
        "custodian": ("reference", "custodian"),
        "related": ("reference", "context.related"),
        "encounter": ("reference", "context.encounter"),
    },
    "ServiceRequest": {
        **_NUMBERED,
        **_MEMBER,
        **_CODED,
        "authored": ("date", "authoredOn"),
        "occurrence": ("date", "occurrenceDateTime occurrencePeriod"),
        **_VISIT,
    },
    "Provenance": {
        "target": ("reference", "target"),
        "patient": ("reference", "target"),
        "recorded": ("date", "recorded"),
    },
}
EVERY = {
    "_id": ("id", "id"),
    "_lastUpdated": ("date", "meta.lastUpdated"),
    "_tag": ("token", "meta.tag"),
    "_profile": ("uri", "meta.profile"),
    "_security": ("token", "meta.security"),
    "_source": ("uri", "meta.source"),
}
CODE_SYSTEMS = {
    "DiagnosticReport": "http://hl7.org/fhir/diagnostic-report-status",
    "Observation": "http://hl7.org/fhir/observation-status",
    "DocumentReference": "http://hl7.org/fhir/document-reference-status",
    "ServiceRequest": "http://hl7.org/fhir/request-status",
    "Patient": "http://hl7.org/fhir/administrative-gender",
    "ImagingStudy": "http://hl7.org/fhir/imagingstudy-status",
    "Encounter": "http://hl7.org/fhir/encounter-status",
}
TRUTHS = "http://terminology.hl7.org/CodeSystem/special-values"
STUDIES = "urn:autoscribe-gateway:study"


def found(world: World, resource_type: str, criteria: list[tuple[str, str]]) -> list[str]:
    """Return the addresses of the resources of a type that meet all criteria, in the order of the world."""
    return [
        address
        for address, one in world.items()
        if one["resourceType"] == resource_type and all(holds(world, one, *pair) for pair in criteria)
    ]


def holds(world: World, resource: Json, name: str, value: str) -> bool:
    """True if a resource meets a criterion: a parameter with modifier, a chain, or `_has`."""
    if name.startswith("_has:"):
        _, kind, reference, inner = name.split(":", 3)
        mine = address_of(resource)
        others = (one for one in world.values() if one["resourceType"] == kind)
        return any(mine in _targets(one, reference) and holds(world, one, inner, value) for one in others)
    head, dot, rest = name.partition(".")
    plain, _, modifier = head.partition(":")
    if dot:
        led_to = (world[one] for one in _targets(resource, plain) if one in world)
        fitting = (one for one in led_to if modifier in {"", one["resourceType"]} and _has_name(one, rest))
        return any(holds(world, one, rest, value) for one in fitting)
    return _meets(resource, plain, modifier, re.split(r"(?<!\\),", value))


def order(world: World, addresses: list[str], keys: list[str]) -> list[str]:
    """Sort addresses; a resource with several values goes by the one that comes first, and without any it goes last."""
    ordered = list(addresses)
    for key in reversed(keys):
        name, is_down = key.removeprefix("-"), key.startswith("-")
        values = {one: _sort_values(world[one], name) for one in ordered}
        some = [one for one in ordered if values[one]]
        some.sort(key=lambda one: (max if is_down else min)(values[one]), reverse=is_down)
        ordered = some + [one for one in ordered if not values[one]]
    return ordered


def address_of(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def values_of(resource: Json, name: str) -> tuple[str, list[Any]]:
    """Return the kind of a parameter, and its values in a resource."""
    kind, paths = EVERY.get(name) or ELEMENTS[resource["resourceType"]][name]
    if kind == "truth":
        absent = {"critical": ["unknown"], "active": ["true"]}
        return kind, _truths(resource, paths) or absent.get(name, [])
    return kind, [value for path in paths.split() for value in _at(resource, path)]


def _truths(resource: Json, extension: str) -> list[str]:
    if extension in resource:
        return [str(resource[extension]).lower()]
    every = [one for one in resource.get("extension", []) if re.search(rf"[/:]{extension}$", one["url"])]
    return [str(one["valueBoolean"]).lower() for one in every]


def _has_name(resource: Json, rest: str) -> bool:
    name = re.split(r"[.:]", rest)[0]
    return name in EVERY or name in ELEMENTS[resource["resourceType"]]


def _at(value: Any, path: str) -> Iterator[Any]:
    first, _, rest = path.partition(".")
    inner = value.get(first, [])
    for one in inner if isinstance(inner, list) else [inner]:
        yield from _at(one, rest) if rest else [one]


def _targets(resource: Json, name: str) -> list[str]:
    every = [value["reference"] for value in values_of(resource, name)[1] if "reference" in value]
    return [one for one in every if name != "patient" or one.startswith("Patient/")]


def _meets(resource: Json, name: str, modifier: str, alternatives: list[str]) -> bool:
    kind, values = values_of(resource, name)
    if (resource["resourceType"], name) == ("Provenance", "patient"):
        values = [one for one in values if one.get("reference", "").startswith("Patient/")]
    if modifier == "missing":
        return any((one == "true") == (not values) for one in alternatives)
    fits = _FITS[modifier if modifier in _FITS else kind]
    if kind == "reference" and modifier[:1].isupper():
        alternatives = [one if "/" in one else f"{modifier}/{one}" for one in alternatives]
    is_met = any(fits(value, one, resource) for value in values for one in alternatives)
    return is_met != (modifier == "not")


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _folded(text: str) -> str:
    """Fold case and accents; the stroke of an Ø is one, too, though Unicode does not take it apart."""
    plain = text.replace("Ø", "O").replace("ø", "o")
    return " ".join("".join(one for one in normalize("NFKD", plain) if not combining(one)).casefold().split())


def _parts(text: str, most: int) -> list[str]:
    return [_plain(one) for one in re.split(r"(?<!\\)\|", text, maxsplit=most - 1)]


def _is_code(system: str, code: str, asked: str) -> bool:
    """Compare a code with `code`, `|code`, `system|` or `system|code`."""
    wanted = _parts(asked, 2)
    if len(wanted) == 2 and wanted[0] != system:
        return False
    if len(wanted) == 2 and not wanted[1]:
        return True
    return (code.upper() == wanted[-1].upper()) if system == LOINC else code == wanted[-1]


def _token(value: Any, asked: str, resource: Json) -> bool:
    codes = value.get("coding", [value])
    if "value" in value:
        codes = [{"system": value.get("system", ""), "code": value["value"]}]
    return any(_is_code(one.get("system", ""), one["code"], asked) for one in codes if "code" in one)


def _code(value: str, asked: str, resource: Json) -> bool:
    """Compare a `code` element, whose system is implied; `|code` means the same system."""
    system = CODE_SYSTEMS[resource["resourceType"]]
    return _is_code(system, value, asked.removeprefix("|") if asked.startswith("|") else asked)


def _truth(value: str, asked: str, resource: Json) -> bool:
    return _is_code(TRUTHS, value, asked)


def _study(value: Json, asked: str, resource: Json) -> bool:
    """Compare a reference to a study with its id as FHIR or AutoScribe writes it, with or without its system."""
    mine = value.get("reference", "")
    return bool(mine) and (asked == f"{STUDIES}|" or mine[-32:] == asked[-32:])


def _reference(value: Json, asked: str, resource: Json) -> bool:
    mine = value.get("reference", "")
    return bool(mine) and _plain(asked) in {mine, mine.partition("/")[2], f"{BASE}/{mine}"}


def _string(value: Any, asked: str, resource: Json) -> bool:
    return any(_folded(text).startswith(_folded(_plain(asked))) for text in _texts(value))


def _date(value: Any, asked: str, resource: Json) -> bool:
    prefix, text = (asked[:2], asked[2:]) if asked[:2].isalpha() else ("eq", asked)
    return compares(prefix, _span(value), interval(text))


def _span(value: Any) -> tuple[int, int]:
    first, last = (value["start"], value["end"]) if isinstance(value, dict) else (value, value)
    return interval(first)[0], interval(last)[1]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for key in (
        ("text", "family", "given", "prefix", "suffix", "line", "city", "state") if isinstance(value, dict) else ()
    ):
        inner = value.get(key, [])
        yield from inner if isinstance(inner, list) else [inner]


def _text_of(value: Json, asked: str, resource: Json) -> bool:
    codings = value.get("coding", [value])
    texts = [value.get("text", ""), *(one.get("display", "") for one in codings)]
    return any(_folded(_plain(asked)) in _folded(one) for one in texts)


def _of_type(value: Json, asked: str, resource: Json) -> bool:
    system, code, number = _parts(asked, 3)
    codings = value.get("type", {}).get("coding", [])
    return value.get("value") == number and any(
        (one.get("system", ""), one.get("code")) == (system, code) for one in codings
    )


def says(text: str, asked: str) -> bool:
    """True if a text has all words and phrases of one alternative of `_content`."""
    words = split(text)
    phrases = [split(one) for one in re.findall(r'"[^"]+"|\S+', asked)]
    return all(any(words[at : at + len(one)] == one for at in range(len(words))) for one in phrases)


def split(text: str) -> list[str]:
    """Split a text into words without case and accents, letter by letter."""
    plain = "".join(one for one in normalize("NFKD", text.replace("ß", "ss")) if not combining(one)).casefold()
    return re.sub(r"[^0-9a-z\u0370-\u03ff]+", " ", plain).split()


def _words(value: Json, asked: str, resource: Json) -> bool:
    """Compare with the words of all texts of the report: a word may be in one, and another in the next."""
    return says(" ".join(b64decode(one["data"]).decode() for one in resource["presentedForm"]), asked)


_FITS: Mapping[str, Any] = {
    "id": lambda value, asked, resource: value == asked,
    "token": _token,
    "code": _code,
    "truth": _truth,
    "study": _study,
    "uri": lambda value, asked, resource: value == _plain(asked),
    "reference": _reference,
    "string": _string,
    "date": _date,
    "words": _words,
    "text": _text_of,
    "of-type": _of_type,
    "exact": lambda value, asked, resource: any(text == _plain(asked) for text in _texts(value)),
    "contains": lambda value, asked, resource: any(_folded(_plain(asked)) in _folded(text) for text in _texts(value)),
}


def _sort_values(resource: Json, name: str) -> list[Any]:
    kind, values = values_of(resource, name)
    if kind == "date":
        return [_span(one)[0] for one in values]
    if kind == "string":
        return [_folded(text) for one in values for text in _texts(one)]
    if kind == "reference":
        return [one["reference"] for one in values if "reference" in one]
    return list(values)
