"""Primitives of FHIR (https://hl7.org/fhir/R4/datatypes.html#primitive): no check is laxer than the library's."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.damaged import NUMBERS, TEXTS
from fhir_core.constraints import FHIR_PRIMITIVES_MAPS
from pydantic import TypeAdapter, ValidationError

from mappings.fhir.judge import CHECKS, REGULAR_EXPRESSIONS, is_text

ADAPTERS = {name: TypeAdapter(kind) for kind, name in FHIR_PRIMITIVES_MAPS.items() if hasattr(kind, "__metadata__")}
ADAPTERS["boolean"] = TypeAdapter(bool)
GOOD: dict[str, tuple[Any, ...]] = {
    "base64Binary": ("YQ==", "YWJj"),
    "boolean": (True, False),
    "canonical": ("http://a.b/c|1",),
    "code": ("a", "a b", "text/plain; charset=utf-8"),
    "date": ("2024", "2024-02", "2024-02-29"),
    "dateTime": ("2024", "2024-02", "2024-02-29", "2024-02-29T10:00:00Z", "2016-12-31T23:59:60.5-05:00"),
    "decimal": (0, 62, -1.5, 1e-7),
    "id": ("a", "A-1.b", "x" * 64),
    "instant": ("2024-02-29T10:00:00.123456+14:00",),
    "integer": (0, -(2**31) + 1, 2**31 - 1),
    "markdown": ("a\nb",),
    "positiveInt": (1, 2**31 - 1),
    "string": (" a ", "a\r\n\tb", "\u00e9"),
    "unsignedInt": (0, 2**31 - 1),
    "uri": ("urn:oid:1.2", "http://loinc.org"),
    "url": ("Binary/a",),
    "xhtml": ("<div/>",),
}


def is_for_the_library(kind: str, value: object) -> bool:
    try:
        ADAPTERS[kind].validate_python(value)
    except (ValidationError, ValueError):
        return False
    return True


def test_every_primitive_of_the_table_has_good_values() -> None:
    assert {kind for kind, _ in CHECKS} == GOOD.keys()
    assert GOOD.keys() > REGULAR_EXPRESSIONS.keys()
    for kind, values in GOOD.items():
        for value in values:
            assert CHECKS[kind, type(value)](value), (kind, value)


def test_what_passes_here_passes_the_library() -> None:
    values = (*TEXTS, *NUMBERS, True, *(value for good in GOOD.values() for value in good))
    passed = [
        (kind, value)
        for (kind, json_type), check in CHECKS.items()
        for value in values
        if type(value) is json_type and check(value)
    ]
    assert [(kind, value) for kind, value in passed if not is_for_the_library(kind, value)] == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("code", " a"),
        ("code", "a\ud800"),
        ("id", "a_b"),
        ("uri", "a b"),
        ("date", "2023-02-29"),
        ("dateTime", "2024-03-15T16:00:00"),
        ("instant", "2024-03-15"),
        ("positiveInt", 0),
        ("unsignedInt", -1),
        ("integer", 2**31),
        ("decimal", float("nan")),
        ("base64Binary", "YQ="),
        ("string", "\u00a0"),
        ("url", "https://a.b/c"),
    ],
)
def test_a_value_against_the_expression_or_the_library_does_not_pass(kind: str, value: Any) -> None:
    assert not CHECKS[kind, type(value)](value)


@pytest.mark.parametrize(("value", "is_one"), [("", False), (" \n", False), ("a", True), ("\ud800a", False)])
def test_a_text_is_more_than_white_space_and_fits_utf_8(value: str, is_one: bool) -> None:
    assert is_text(value) is is_one
