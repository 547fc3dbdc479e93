"""Bundle (https://hl7.org/fhir/R4/bundle.html) and the bytes of a resource (https://hl7.org/fhir/R4/json.html)."""

from __future__ import annotations

from mappings.fhir.datatypes import collection, json_bytes


def test_a_collection_gives_each_resource_its_address() -> None:
    made = collection([{"resourceType": "Patient", "id": "a"}], "https://fhir.example/r4/")
    assert made["type"] == "collection"
    assert made["entry"][0]["fullUrl"] == "https://fhir.example/r4/Patient/a"


def test_an_empty_collection_has_no_entry_element() -> None:
    assert collection([], "https://fhir.example") == {"resourceType": "Bundle", "type": "collection"}


def test_bytes_are_utf8_without_white_space_in_the_order_of_the_elements() -> None:
    assert json_bytes({"b": "\u00fc", "a": [1, True]}) == '{"b":"\u00fc","a":[1,true]}'.encode()
