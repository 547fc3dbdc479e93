"""https://hl7.org/fhir/R4/searchparameter-registry.html: the parameters that R4 defines, and those that are offered."""

from __future__ import annotations

import json
import tarfile

import pytest

from gateway.fhir_api.definitions.interactions import SEARCHED
from gateway.index.parameter_lookup import PARAMETERS, TYPES, parameter
from gateway.index.standard import is_standard

PACKAGE = "hl7.fhir.r4.core-4.0.1.tgz"


@pytest.fixture(scope="module")
def defined(shared):
    """Return the names of the search parameters of each type, by R4."""
    names = {kind: set() for kind in (*TYPES, *SEARCHED, "Resource", "DomainResource")}
    with tarfile.open(shared / "conformance" / PACKAGE) as package:
        for member in package:
            if member.name.startswith("package/SearchParameter-"):
                resource = json.load(package.extractfile(member))
                for base in resource["base"]:
                    names.get(base, set()).add(resource["code"])
    return names


def test_each_parameter_of_r4_is_offered_or_known_as_one_that_is_not(defined):
    for kind in TYPES:
        for name in defined[kind] | defined["Resource"] | defined["DomainResource"]:
            assert (parameter(kind, name) is None) == is_standard(kind, name), (kind, name)


def test_so_it_is_of_the_definitions_that_the_gateway_serves(defined):
    for kind, offered in SEARCHED.items():
        for name in defined[kind] | defined["Resource"] | defined["DomainResource"]:
            assert (name not in offered) == is_standard(kind, name), (kind, name)


def test_no_parameter_that_is_offered_is_among_the_others():
    assert not [row.name for row in PARAMETERS if is_standard(row.resource_type, row.name)]
    assert not is_standard("Condition", "class")
