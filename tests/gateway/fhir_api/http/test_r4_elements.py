"""https://hl7.org/fhir/R4/profiles-resources.html and profiles-types.html: the library holds what R4 4.0.1 defines."""

import pytest
from fakes.r4_definitions import definitions

from gateway.fhir_api.http.r4_elements import element, elements_of, find
from mappings.fhir.resource_types import RESOURCE_TYPES

OF_THE_FACADE = ("Binary", "Bundle", "OperationOutcome", "Parameters", "OperationDefinition", "SearchParameter")
SERVED = (*RESOURCE_TYPES, *OF_THE_FACADE, "CapabilityStatement")


def reached(known):
    """List the types of R4 that a served resource can contain: resources, data types and backbone elements by path."""
    waiting, seen = list(SERVED), []
    while waiting:
        kind = waiting.pop()
        if kind in seen or kind not in known.elements or kind in known.primitives:
            continue
        seen.append(kind)
        for one in known.elements[kind]:
            waiting += [one.path] if one.types[0] in ("BackboneElement", "Element") else one.types
    return [kind for kind in seen if kind not in known.resources - {*SERVED}]


def of_library(kind):
    """Name a type as the library does: `ObservationComponent` for `Observation.component`."""
    return "".join(part[0].upper() + part[1:] for part in kind.split("."))


def test_each_type_has_the_elements_of_r4_in_their_order_with_their_flags(shared):
    known = definitions(shared)
    kinds = reached(known)
    assert len(kinds) > 80
    for kind in kinds:
        found = {one.name: one for one in elements_of(of_library(kind)).values()}
        assert list(found) == [one.name for one in known.elements[kind]], kind
        assert [one.place for one in found.values()] == list(range(len(found)))
        for one in known.elements[kind]:
            assert found[one.name].is_summary == one.is_summary, one.path


def test_each_element_has_the_type_that_r4_gives_it(shared):
    known = definitions(shared)
    for kind in reached(known):
        for one in known.elements[kind]:
            [code, *others] = one.types
            if one.name.endswith("[x]"):
                assert others or one.path.endswith("value[x]")
                for code in one.types:
                    name = one.name[:-3] + code[0].upper() + code[1:]
                    found = element(of_library(kind), name)
                    assert found.name == one.name
                    assert found.kind == ("" if code in known.primitives else code)
            elif code in ("BackboneElement", "Element"):
                assert element(of_library(kind), one.name).kind == of_library(one.path)
            elif code in known.primitives or code in known.resources or code.startswith("http"):
                assert element(of_library(kind), one.name).kind == ""
            else:
                assert element(of_library(kind), one.name).kind == of_library(code)


@pytest.mark.parametrize("kind", RESOURCE_TYPES)
def test_what_is_mandatory_in_r4_is_mandatory_here(shared, kind):
    named = {one.name for one in definitions(shared).elements[kind] if one.is_mandatory}
    assert named == {one.name for one in elements_of(kind).values() if one.is_mandatory}
    assert named <= {*RESOURCE_TYPES[kind].mandatory.split()}


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
    [
        ("Patient", "colour"),
        ("Patient", "valueString"),
        ("Patient", ""),
        ("Meeting", "status"),
        ("", "system"),
    ],
)
def test_what_r4_does_not_have_is_not_found(kind, name):
    assert find(kind, name) is None
    with pytest.raises(LookupError):
        element(kind, name)
