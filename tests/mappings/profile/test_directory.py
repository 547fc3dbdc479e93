"""Provider directory: people by exact spelling or userId, every fault by line and column, and never by value."""

import pytest

from mappings.profile import AssigningAuthority, Provider, Site, parse_site, read_site

USER = "usr_" + "0a" * 16
HEAD = "name,user_id,local_id,npi,family,given,middle,prefix,suffix,degree\n"
SITE = '[mapping]\nproviders = "p.csv"\nprovider_system = "urn:oid:1.2.5"\nprovider_namespace = "CITY"\n'
CHEN = f"Dr. Michael Chen,{USER},C12,1234567893,Chen,Michael,Wei Ming,Dr.,Jr.,MD\n"


def _faults(rows, settings=SITE, head=HEAD):
    return [(fault.key, fault.problem) for fault in read_site(settings, files={"providers": head + rows})[1]]


def test_a_provider_is_found_by_the_exact_spelling_and_by_the_user_id():
    site = parse_site(SITE, files={"providers": HEAD + CHEN})
    chen = Provider("Chen", "Michael", "Wei Ming", "Dr.", "Jr.", "MD", npi="1234567893", local_id="C12")
    assert site.provider(" DR.  michael chen ") == site.user(USER) == chen
    assert site.provider_authority == AssigningAuthority("urn:oid:1.2.5", "CITY")
    assert [site.provider(name) for name in ("Michael Chen", "Dr Michael Chen", "Chen", "", " ", None)] == [None] * 6
    assert site.user("usr_" + "0b" * 16) is None


def test_several_spellings_may_name_one_person():
    site = parse_site(SITE, files={"providers": HEAD + CHEN + '"CHEN, MICHAEL",,C12,1234567893,Chen,Michael,,,,\n'})
    assert site.provider("chen, michael").npi == site.provider("Dr. Michael Chen").npi


def test_only_the_family_name_and_a_key_are_needed():
    site = parse_site('[mapping]\nproviders = "p.csv"\n', files={"providers": "family,name\nChen,Chen M\n"})
    assert site.provider("Chen M") == Provider("Chen")
    assert Site().provider("Chen M") is None


def test_white_space_in_a_part_of_a_name_is_one_blank():
    site = parse_site(SITE, files={"providers": HEAD + 'A,,,,"van der\n Berg",  Jan  ,,,,\n'})
    assert site.provider("a") == Provider("van der Berg", "Jan")


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        ("A,,,,,Michael,,,,", "family", "missing"),
        (",,,,Chen,,,,,", "name", "neither name nor user_id"),
        ("A,usr_1,,,Chen,,,,,", "user_id", "not a userId"),
        (f"A,{USER.upper()},,,Chen,,,,,", "user_id", "not a userId"),
        ("A,,,1234567890,Chen,,,,,", "npi", "not a National Provider Identifier"),
        ("A,,,123,Chen,,,,,", "npi", "not a National Provider Identifier"),
        ("A,,C 12,,Chen,,,,,", "local_id", "without a blank"),
        (f"A,,{'1' * 16},,Chen,,,,,", "local_id", "1 to 15"),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column(row, column, problem):
    found = _faults(f"B,,,,Berg,,,,,\n{row}\n")
    assert [key for key, _ in found] == [f"mapping.providers, line 3, column {column}"]
    assert problem in found[0][1]


@pytest.mark.parametrize(
    ("one", "other", "column"),
    [
        ("Dr. A,,,,A,,,,,", "DR. a,,,,B,,,,,", "name"),
        (f",{USER},,,A,,,,,", f",{USER},,,B,,,,,", "user_id"),
        (f"x,{USER},,,,,,,,", f"y,{USER},,,B,,,,,", "user_id"),
    ],
)
def test_two_rows_with_one_key_are_a_fault_that_names_the_first(one, other, column):
    found = _faults(f"{one}\n{other}\n")
    assert found[-1] == (f"mapping.providers, line 3, column {column}", f"the same {column} as in line 2")


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ('providers = "p.csv"', ["provider_system"]),
        ('providers = "p.csv"\nprovider_system = "urn:oid:1.2.5"', ["provider_namespace"]),
        (
            'providers = "p.csv"\nprovider_system = "city"\nprovider_namespace = "A B"',
            ["provider_system", "provider_namespace"],
        ),
    ],
)
def test_local_ids_need_an_authority(settings, keys):
    assert [key for key, _ in _faults(CHEN, f"[mapping]\n{settings}\n")] == [f"mapping.{key}" for key in keys]


def test_without_local_ids_no_authority_is_needed():
    assert _faults(CHEN.replace("C12", ""), '[mapping]\nproviders = "p.csv"\n') == []


def test_no_message_and_no_repr_of_a_site_says_what_stands_in_a_row():
    rows = "CANARY,CANARY,CANA RY,CANARY,,CANARY,,,,\nCANARY,,,,CANARY,,,,,\ncanary,,,,CANARY,,,,,\n"
    site, faults = read_site(SITE, files={"providers": HEAD + rows})
    assert len(faults) >= 5
    assert not any("canary" in str(fault).lower() for fault in faults)
    assert "canary" not in repr(site).lower()


def test_one_local_id_never_stands_for_two_people():
    row = "Dr. A,,R1,1234567893,A,,,,,\nDr. B,,R1,{},B,,,,,\n"
    assert [key for key, _ in _faults(row.format("1245319599"))] == ["mapping.providers, line 3, column local_id"]
    assert _faults(row.format("1234567893")) == []
