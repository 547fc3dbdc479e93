"""AutoScribe REST API, `GET /v1/autoScribe/users/{userId}`: a single user maps to the Practitioner of its reports."""

import pytest
from fakes.fhir_studies import SITE, mapped, report
from fakes.upstream_json import user_json

from gateway.ingest.pipeline import practitioner
from mappings.issues import WireError


def test_a_user_alone_is_the_practitioner_that_a_report_of_that_user_comes_with():
    [beside] = [one for one in mapped(report()).output if one["resourceType"] == "Practitioner"]
    assert practitioner(user_json(), SITE) == beside


def test_of_a_user_without_a_last_name_no_practitioner_can_be_made():
    assert practitioner(user_json(lastName=""), SITE) is None


def test_a_user_that_is_not_what_the_contract_says_is_refused_by_its_place():
    with pytest.raises(WireError) as error:
        practitioner(user_json(lastName=["Johnson"]), SITE)
    assert "/lastName" in error.value.pointer
    assert "Johnson" not in str(error.value)
