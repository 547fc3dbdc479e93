"""Decision D34: settings of `[mapping]` that name VistA's own numbers."""

from __future__ import annotations

import pytest

from mappings.issues import SiteError
from mappings.profile import parse_site
from mappings.profile.vista import NO_VISTA, Vista

FACILITY = """
[[mapping.facilities]]
name = "Mercy"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
external_patient_id_system = "urn:oid:1.2.4"
external_patient_id_namespace = "VA500"
[[mapping.express_customers]]
id = "cus_1"
external_patient_id_system = "urn:oid:1.2.5"
external_patient_id_namespace = "SSA"
"""


def vista(settings: str) -> Vista:
    return parse_site(f"[mapping]\n{settings}\n{FACILITY}").vista


def test_a_site_that_says_nothing_has_no_numbers_of_vista() -> None:
    assert vista("") == NO_VISTA


def test_numbers_are_those_of_a_namespace_and_of_keys_of_the_metadata() -> None:
    settings = (
        'vista_dfn_namespace = "VA500"\nvista_ssn_namespace = "SSA"\nvista_station = "500GA"\n'
        'vista_exam_keys = ["exam"]\nvista_case_keys = ["case"]'
    )
    assert vista(settings) == Vista("VA500", "SSA", "500GA", ("exam",), ("case",))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ('vista_dfn_namespace = "VA501"', "vista_dfn_namespace"),
        ('vista_ssn_namespace = "NOBODY"', "vista_ssn_namespace"),
        ('vista_dfn_namespace = "MERCY"\nvista_ssn_namespace = "MERCY"', "vista_ssn_namespace"),
        ('vista_station = "Main"', "vista_station"),
        ("vista_station = 500", "vista_station"),
        ('vista_exam_keys = ["exam"]', "vista_case_keys"),
        ('vista_case_keys = ["case"]', "vista_exam_keys"),
        ('vista_exam_keys = "exam"\nvista_case_keys = ["case"]', "vista_exam_keys"),
    ],
)
def test_what_would_find_no_patient_or_exam_is_refused(settings: str, key: str) -> None:
    with pytest.raises(SiteError, match=rf"mapping\.{key}: "):
        vista(settings)
