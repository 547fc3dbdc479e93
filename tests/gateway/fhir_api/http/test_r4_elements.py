"""https://hl7.org/fhir/R4/profiles-resources.html and profiles-types.html: the table holds what R4 4.0.1 defines."""

import pytest
from fakes.r4_definitions import definitions

from gateway.fhir_api.http.r4_elements import RESOURCES, TYPES, Element, element, find

INHERITED = {"id", "extension", "modifierExtension"}
OF_RESOURCES = INHERITED | {"meta", "implicitRules", "language", "text", "contained"}


@pytest.mark.parametrize("kind", [*RESOURCES, *TYPES])
def test_a_type_has_the_elements_of_r4_in_their_order(shared, kind):
    inherited = OF_RESOURCES if kind in RESOURCES else INHERITED
    defined = [one for one in definitions(shared).elements[kind] if one.name not in inherited]
    named = [token.partition(":")[0] for token in {**RESOURCES, **TYPES}[kind].split()]
    assert named == [one.name for one in defined]


@pytest.mark.parametrize("kind", [*RESOURCES, *TYPES])
def test_what_all_types_have_comes_first_and_in_order(shared, kind):
    inherited = [one.name for one in definitions(shared).elements[kind]]
    places = [found.place for name in inherited if (found := find(kind, name))]
    assert len(places) == len(inherited)
    assert places == sorted(set(places))


@pytest.mark.parametrize("kind", [*RESOURCES, *TYPES])
def test_each_element_has_the_type_that_r4_gives_it(shared, kind):
    known = definitions(shared)
    for one in known.elements[kind]:
        [code, *others] = one.types
        if one.name.endswith("[x]"):
            assert others or one.path == "Extension.value[x]"
            codes = {code for code in one.types if code in TYPES}
            for code in codes:
                name = one.name[:-3] + code
                assert element(kind, name) == Element(element(kind, one.name).place, one.name, code)
        elif code in ("BackboneElement", "Element"):
            assert element(kind, one.name).kind == one.path
        elif code in known.primitives or code in known.resources or code.startswith("http"):
            assert element(kind, one.name).kind == ""
        else:
            assert element(kind, one.name).kind == code


def test_every_type_that_is_named_is_there():
    named = [token.partition(":")[2] for tokens in (*RESOURCES.values(), *TYPES.values()) for token in tokens.split()]
    assert {name for name in named if name} <= TYPES.keys()


@pytest.mark.parametrize(
    ("kind", "name", "defined", "of"),
    [
        ("Observation", "effectiveDateTime", "effective[x]", ""),
        ("Observation", "effectivePeriod", "effective[x]", "Period"),
        ("Observation", "valueCodeableConcept", "value[x]", "CodeableConcept"),
        ("Extension", "valueInstant", "value[x]", ""),
        ("ServiceRequest", "asNeededBoolean", "asNeeded[x]", ""),
    ],
)
def test_a_choice_is_found_by_the_name_it_has_with_its_type(kind, name, defined, of):
    found = element(kind, name)
    assert (found.name, found.kind) == (defined, of)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("Patient", "colour"), ("Patient", "valueString"), ("Patient", ""), ("Encounter", "status"), ("", "system")],
)
def test_what_r4_does_not_have_is_not_found(kind, name):
    assert find(kind, name) is None
    with pytest.raises(LookupError):
        element(kind, name)
