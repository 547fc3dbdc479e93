"""Details of a facility's Organization, and every mistake in them."""

import pytest

from mappings.profile import OrganizationDetails, parse_site, read_site

FULL = """
[[mapping.facilities]]
name = "City"
npi = "1234567893"
oid = "1.2.840.99999.1"
phone = "+1 (555) 010-0100"
address_lines = ["1 Main Street", "Suite 2"]
city = "Tampa"
state = "FL"
postal_code = "33602"
country = "US"
"""


def test_the_details_of_a_facility_are_read():
    organization = parse_site(FULL).facilities["city"].organization
    assert organization == OrganizationDetails(
        npi="1234567893",
        oid="1.2.840.99999.1",
        phone="+1 (555) 010-0100",
        address_lines=("1 Main Street", "Suite 2"),
        city="Tampa",
        state="FL",
        postal_code="33602",
        country="US",
    )
    assert organization.address == ("1 Main Street", "Suite 2", "Tampa", "FL", "33602", "US")


def test_what_is_not_said_is_empty():
    organization = parse_site('[[mapping.facilities]]\nname = "City"\n').facilities["city"].organization
    assert (organization, organization.address) == (OrganizationDetails(), ())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("npi", '"1234567890"'),
        ("npi", '""'),
        ("npi", "1234567893"),
        ("oid", '"urn:oid:1.2.3"'),
        ("oid", '"1.2."'),
        ("phone", '"call us"'),
        ("phone", '"55"'),
        ("address_lines", '"1 Main Street"'),
        ("address_lines", '[" "]'),
        ("city", '" "'),
        ("city", '"Tampa\\nFL"'),
        ("state", '""'),
        ("postal_code", '"3"'),
        ("country", '"us"'),
        ("country", '"United States"'),
    ],
)
def test_a_wrong_detail_is_named(key, value):
    site, faults = read_site(f'[[mapping.facilities]]\nname = "City"\n{key} = {value}\n')
    assert [fault.key for fault in faults] == [f"mapping.facilities[0].{key}"]
    assert site.facilities["city"].organization == OrganizationDetails()


def test_every_detail_has_a_remedy():
    _, faults = read_site(FULL.replace(' = "', ' = "\\u0001'))
    assert all(fault.problem and fault.remedy.endswith(".") for fault in faults)
    assert len(faults) == 7
