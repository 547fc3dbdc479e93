"""Every value of a resource finds that resource: extraction and search use the same terms.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.criteria import compares, found, holds
from fakes.indexed import HERE, ZONE, escaped, patient
from hypothesis import given
from hypothesis import strategies as st

from gateway.index.extract import rows
from gateway.index.parameter_lookup import PARAMETERS, parameter
from gateway.index.reading import asked
from gateway.runtime.request_errors import BadRequest
from mappings.codes import CANONICAL
from mappings.fhir.extensions import extension_url

GOLDEN = Path(__file__).parents[2] / "golden"
TEXTUAL = ("exact", "contains")
INSIDE = st.integers(0, 12)
SPANS = st.tuples(INSIDE, INSIDE).filter(lambda span: span[0] < span[1])


@given(SPANS, SPANS)
def test_prefixes_mean_what_they_mean_of_the_ticks_of_both_intervals(said, wanted):
    ours, theirs = set(range(*said)), set(range(*wanted))
    above, below = set(range(wanted[1], 20)), set(range(-5, wanted[0]))
    brute = {
        "eq": ours <= theirs,
        "ne": not ours <= theirs,
        "gt": bool(ours & above),
        "lt": bool(ours & below),
        "ge": bool(ours & above) or ours <= theirs,
        "le": bool(ours & below) or ours <= theirs,
        "sa": ours <= above,
        "eb": ours <= below,
        "ap": bool(ours & theirs),
    }
    assert {prefix: compares(prefix, said, wanted) for prefix in brute} == brute


GOLDEN_RESOURCES = {
    f"{resource['resourceType']}/{resource['id']}": resource
    for resource in (json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*/fhir/*.json")))
}
GOLDEN_ROWS = {address: rows(resource, ZONE) for address, resource in GOLDEN_RESOURCES.items()}


def elements(value, path):
    """Collect the values at a path of a resource, independently of the code under test."""
    first, _, rest = path.partition(".")
    if path.startswith("extension('"):
        name, _, rest = path.removeprefix("extension('").partition("').")
        url = extension_url(CANONICAL, name)
        return [one[rest] for one in value.get("extension", ()) if one["url"] == url]
    held = value.get(first, [])
    held = held if isinstance(held, list) else [held]
    return [deeper for one in held for deeper in elements(one, rest)] if rest else held


def spoken(row, value):
    """List every query that a client could write for a value of an element."""
    if row.type == "date":
        if isinstance(value, dict) and "end" not in value:  # a period that has not ended lies in no day
            return [("", f"ge{value['start']}")]
        texts = [value] if isinstance(value, str) else list(value.values())
        return [("", text) for text in texts] + [("", f"ap{text}") for text in texts]
    if row.type == "uri":
        return [("", escaped(value))]
    if row.type == "reference":
        found = [("", value["reference"]), ("", value["reference"].partition("/")[2])] if "reference" in value else []
        identifier = value.get("identifier")
        more = [("identifier", f"{identifier['system']}|{identifier['value']}")] if identifier else []
        return found + (more if "identifier" in row.modifiers else [])
    if row.type == "string":
        parts = [value] if isinstance(value, str) else [one for held in value.values() for one in listed(held)]
        inside = [("contains", escaped(word)) for part in parts for word in part.split()]
        return [("", escaped(one)) for one in parts] + [(m, escaped(one)) for one in parts for m in TEXTUAL] + inside
    return list(_token_queries(row, value))


def listed(value):
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _token_queries(row, value):
    if not isinstance(value, dict):
        yield "", str(value).lower() if isinstance(value, bool) else value
        return
    for coding in [value] if "value" in value else value.get("coding", [value]):
        code, system = escaped(coding.get("value", coding.get("code", ""))), escaped(coding.get("system", ""))
        yield from [("", code), ("", f"{system}|{code}")] if code else []
    for coding in value.get("type", {}).get("coding", ()) if "value" in value else ():
        yield "of-type", "|".join(map(escaped, (coding["system"], coding["code"], value["value"])))
    texts = [value.get("text"), *(coding.get("display") for coding in value.get("coding", [value]))]
    yield from [("text", escaped(text)) for text in texts if text and "text" in row.modifiers]


@pytest.mark.parametrize("row", [one for one in PARAMETERS if not one.name.startswith("_l")], ids=lambda row: row.name)
def test_a_resource_is_found_by_each_of_the_values_it_has(row):
    for address, resource in GOLDEN_RESOURCES.items():
        if resource["resourceType"] != row.resource_type or row.name == "signed":
            continue
        for value in (one for path in row.paths for one in elements(resource, path)):
            if row.shares and row.name == "patient":
                continue
            for modifier, text in spoken(row, value):
                name = f"{row.name}:{modifier}" if modifier else row.name
                for only in asked(row.resource_type, name, text, HERE).clauses:
                    held = (holds(one, address, GOLDEN_ROWS, {}) for one in only)
                    assert any(held), (address, name, text)


@given(
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=300),
    st.sampled_from([("identifier", ""), ("name", ""), ("name", "exact"), ("name", "contains"), ("identifier", "s")]),
)
def test_any_text_is_found_by_itself_when_it_is_escaped(text, how):
    name, modifier = how
    address = "Patient/pat-9"
    index = {address: rows(patient(text, text), ZONE)}
    value = f"urn:mrn|{escaped(text)}" if modifier == "s" else escaped(text)
    asking = asked("Patient", f"{name}:{modifier}" if modifier not in {"", "s"} else name, value, HERE)
    assert found("Patient", asking.clauses, index, {}) == {address}


@given(st.text(st.sampled_from("ab|,\\$:/.-é \u0301"), max_size=30), st.sampled_from(PARAMETERS), st.data())
def test_any_value_is_read_or_refused(text, row, data):
    modifier = data.draw(st.sampled_from(("", *row.modifiers, *(row.targets if row.type == "reference" else ()))))
    name = f"{row.name}:{modifier}" if modifier else row.name
    try:
        asking = asked(row.resource_type, name, text, HERE)
    except BadRequest as error:
        assert error.detail.startswith(f"{name}: expected ")
    else:
        assert asking.route.parameters == (parameter(row.resource_type, row.name),)
        assert all(asking.clauses)
