from zoneinfo import ZoneInfo

import pytest

from mappings.issues import SiteError
from mappings.profile import (
    DEMO_SITE_KEY,
    AssigningAuthority,
    Facility,
    Receiver,
    Site,
    parse_receiver,
    parse_site,
    read_site,
)

FIRST = "mapping.express_customers[0]"
CUSTOMER = "external_patient_id_system = 'urn:oid:1.2'\nexternal_patient_id_namespace = 'X'"
FULL = """
[server]
port = 1

[mapping]
sending_application = "GW"
sending_facility = "CITY"
receiving_application = "EPIC"
receiving_facility = "MERCY"
processing_id = "T"

[[mapping.facilities]]
name = " City Medical Center "
aliases = ["City", "CMC "]
time_zone = "America/New_York"
name_order = "given_family"
code = "CMC"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "CITY"
external_patient_id_system = "https://city.example/ids"
external_patient_id_namespace = "CITYX"

[[mapping.facilities]]
name = "Mercy"

[[mapping.express_customers]]
id = "cus_1"
external_patient_id_system = "urn:oid:1.2.9"
external_patient_id_namespace = "TAMPA"
"""


def _facility(lines):
    return parse_site(f'[[mapping.facilities]]\nname = "A"\n{lines}').facilities["a"]


def test_a_site_is_read_whole_and_other_tables_are_not_its_business():
    site = parse_site(FULL)
    city = Facility(
        name="City Medical Center",
        aliases=("City", "CMC"),
        time_zone=ZoneInfo("America/New_York"),
        name_order="given_family",
        mrn=AssigningAuthority("urn:oid:1.2.3", "CITY"),
        external_patient_id=AssigningAuthority("https://city.example/ids", "CITYX"),
        code="CMC",
    )
    assert site == Site(
        facilities={"City Medical Center": city, "City": city, "CMC": city, "Mercy": Facility("Mercy")},
        sending_application="GW",
        sending_facility="CITY",
        receiving_application="EPIC",
        receiving_facility="MERCY",
        processing_id="T",
        express_customers={"cus_1": AssigningAuthority("urn:oid:1.2.9", "TAMPA")},
    )


def test_nothing_said_is_nothing_assumed():
    assert parse_site("") == Site()
    assert Site().facility("City Medical Center") is None


def test_a_facility_is_found_by_its_name_or_alias_case_and_blanks_apart_and_by_nothing_near():
    site = parse_site(FULL)
    for name in (" City ", "city", "CITY  medical\tCenter"):
        assert site.facility(name).code == "CMC"
    assert [site.facility(name) for name in ("City Medical", "CityMedicalCenter", "", None)] == [None] * 4


def test_names_that_case_and_blanks_alone_tell_apart_are_two_facilities_of_one_name():
    text = "[[mapping.facilities]]\nname = 'Mercy East'\n[[mapping.facilities]]\nname = 'B'\naliases = ['mercy  EAST']"
    _, faults = read_site(text)
    assert [fault.key for fault in faults] == ["mapping.facilities[1].name"]
    _, faults = read_site("[[mapping.facilities]]\nname = 'Mercy'\naliases = ['MERCY']")
    assert faults == []


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory", "", "America", "../UTC", "UTC\\u0000", "EST/X"])
def test_a_zone_that_depends_on_the_machine_or_is_none_is_refused(name):
    with pytest.raises(SiteError, match="IANA"):
        _facility(f'time_zone = "{name}"')


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("x = ", "file"),
        ("mapping = 1", "mapping"),
        ("[[mapping]]", "mapping"),
        ("[mapping]\nzone = 1", "mapping.zone"),
        ("[mapping]\nsending_facility = 1", "mapping.sending_facility"),
        ("[mapping]\nprocessing_id = 'X'", "mapping.processing_id"),
        ("[mapping]\nsite_key = 1", "mapping.site_key"),
        ("[mapping]\nsite_key = 'short'", "mapping.site_key"),
        ("[mapping]\nfacilities = 1", "mapping.facilities"),
        ("[mapping]\nfacilities = [1]", "mapping.facilities"),
        ("[[mapping.facilities]]", "mapping.facilities[0].name"),
        ("[[mapping.facilities]]\nname = ' '", "mapping.facilities[0].name"),
        ("[[mapping.facilities]]\nname = 'A'\naliases = 'B'", "mapping.facilities[0].aliases"),
        ("[[mapping.facilities]]\nname = 'A'\naliases = [' ']", "mapping.facilities[0].aliases"),
        ("[[mapping.facilities]]\nname = 'A'\naliases = ['A']", "mapping.facilities[0].name"),
        ("[[mapping.facilities]]\nname='A'\n[[mapping.facilities]]\nname='A '", "mapping.facilities[1].name"),
        ("[[mapping.facilities]]\nname = 'A'\nname_order = 'any'", "mapping.facilities[0].name_order"),
        ("[[mapping.facilities]]\nname = 'A'\ntime_zone = 5", "mapping.facilities[0].time_zone"),
        ("[[mapping.facilities]]\nname = 'A'\nmrn_system = 'urn:x'", "mapping.facilities[0].mrn_namespace"),
        ("[[mapping.facilities]]\nname = 'A'\nmrn_namespace = 'X'", "mapping.facilities[0].mrn_system"),
        ("[[mapping.facilities]]\nname = 'A'\nmrn = 'X'", "mapping.facilities[0].mrn"),
        ("[mapping]\nexpress_customers = 1", "mapping.express_customers"),
        ("[[mapping.express_customers]]\nname = 'A'", "mapping.express_customers[0].name"),
        (f"[[mapping.express_customers]]\n{CUSTOMER}", "mapping.express_customers[0].id"),
        (f"[[mapping.express_customers]]\nid = ' '\n{CUSTOMER}", "mapping.express_customers[0].id"),
        (
            "[[mapping.express_customers]]\nid = 'c'\nexternal_patient_id_system = 1",
            f"{FIRST}.external_patient_id_system",
        ),
        ("[[mapping.express_customers]]\nid = 'cus_1'", "mapping.express_customers[0].external_patient_id_system"),
        (
            f"[[mapping.express_customers]]\nid='c'\n{CUSTOMER}\n[[mapping.express_customers]]\nid='c'\n{CUSTOMER}",
            "mapping.express_customers[1].id",
        ),
        ("[mapping]\naccession_keys = 'a'", "mapping.accession_keys"),
        ("[mapping]\nplacer_keys = ['']", "mapping.placer_keys"),
        ("[mapping]\nnumber_separator = 1", "mapping.number_separator"),
        ("[mapping]\nsend_drafts = 'yes'", "mapping.send_drafts"),
        ("[mapping]\non_cancelled_after_sign = 'delete'", "mapping.on_cancelled_after_sign"),
        ("[mapping]\non_conflict = 'merge'", "mapping.on_conflict"),
        ("[mapping]\nprovider_namespace = 'X'", "mapping.provider_system"),
        ("[mapping]\ndefault_facility = 'Elsewhere'", "mapping.default_facility"),
        ("[mapping]\ndefault_facility = 'A'\n[[mapping.facilities]]\nname = 'A'", "mapping.default_facility"),
        ("[mapping]\nreceivers = 1", "mapping.receivers"),
        ("[[mapping.receivers]]\nbase = 'generic'", "mapping.receivers[0].name"),
        ("[[mapping.receivers]]\nname = 'generic'", "mapping.receivers[0].name"),
        ("[[mapping.receivers]]\nname = 'a'\nversion = '3'", "mapping.receivers[0].version"),
        ("[[mapping.receivers]]\nname='a'\n[[mapping.receivers]]\nname='a'", "mapping.receivers[1].name"),
    ],
)
def test_a_wrong_setting_is_named_with_its_key_and_a_remedy(text, key):
    with pytest.raises(SiteError) as caught:
        parse_site(text)
    assert caught.value.key == key
    assert caught.value.problem
    assert caught.value.remedy.endswith(".")


@pytest.mark.parametrize("system", ["1.2.3", "urn:a b", "mercy", "urn:", "http://<x>"])
def test_an_mrn_system_is_an_absolute_uri(system):
    with pytest.raises(SiteError) as caught:
        _facility(f'mrn_system = "{system}"\nmrn_namespace = "X"')
    assert caught.value.key.endswith("mrn_system")


@pytest.mark.parametrize("namespace", ["", "A B", "A^B", "A&B", "A|B", "A~B", "A\\\\B", "x" * 21, "A\\u0001"])
def test_an_assigning_authority_fits_hd_1(namespace):
    with pytest.raises(SiteError) as caught:
        _facility(f'mrn_system = "urn:oid:1.2"\nmrn_namespace = "{namespace}"')
    assert caught.value.key.endswith("mrn_namespace")


def test_the_site_key_comes_from_the_caller_first_then_the_text_then_the_published_one():
    text = f"[mapping]\nsite_key = '{'f' * 32}'"
    assert parse_site(text, site_key=b"g" * 32).site_key == b"g" * 32
    assert parse_site(text).site_key == b"f" * 32
    assert parse_site("").site_key == parse_site("", site_key=b"").site_key == DEMO_SITE_KEY
    with pytest.raises(SiteError, match="32 bytes"):
        parse_site("", site_key=b"g" * 31)


def test_the_site_key_is_in_no_repr():
    assert "gggg" not in repr(parse_site("", site_key=b"g" * 32))


def test_a_receiver_profile_that_says_only_its_name_is_as_generic():
    assert parse_receiver('name = "mine"') == Receiver("mine")


@pytest.mark.parametrize(
    ("text", "key"), [("x = ", "receiver"), ("", "receiver.name"), ("name = 'a'\nx = 1", "receiver.x")]
)
def test_a_receiver_profile_that_is_wrong_is_named_with_its_key(text, key):
    with pytest.raises(SiteError) as caught:
        parse_receiver(text)
    assert caught.value.key == key


@pytest.mark.parametrize("half", ["mrn_system = 'urn:oid:1.2'", "mrn_namespace = 'X'"])
def test_half_of_an_authority_is_told_what_is_missing(half):
    with pytest.raises(SiteError) as caught:
        _facility(half)
    assert caught.value.problem.startswith("missing, with a ")


CITY = "[[mapping.facilities]]\nname = 'A'\nmrn_system = 'urn:oid:1.2'\nmrn_namespace = 'CITY'\n"
LAKE = "[[mapping.facilities]]\nname = 'B'\nmrn_system = 'urn:oid:1.3'\nmrn_namespace = 'LAKE'\n"


@pytest.mark.parametrize(("old", "new"), [("LAKE", "CITY"), ("urn:oid:1.3", "urn:oid:1.2")])
def test_a_namespace_stands_for_one_system_and_back(old, new):
    assert parse_site(CITY + LAKE).facilities.keys() == {"a", "b"}
    with pytest.raises(SiteError, match=r"CITY stands for two systems|urn:oid:1\.2 has two namespaces"):
        parse_site(CITY + LAKE.replace(old, new))


@pytest.mark.parametrize("kind", ["accession", "placer", "filler"])
def test_the_issuer_of_a_facility_s_order_numbers_is_its_own_then_the_site_s(kind):
    own = CITY + f"{kind}_system = 'urn:oid:1.7'\n{kind}_namespace = 'OWN'\n" + LAKE
    site = parse_site(own)
    assert site.order_authority(kind, site.facilities["a"]) == AssigningAuthority("urn:oid:1.7", "OWN")
    assert site.order_authority(kind, site.facilities["b"]) is None
    common = "[mapping]\naccession_system = 'urn:oid:1.8'\naccession_namespace = 'ACC'\n"
    common += "placer_system = 'urn:oid:1.9'\nplacer_namespace = 'PLC'\n"
    site = parse_site(common + own)
    of_site = {"accession": "ACC", "placer": "PLC", "filler": None}[kind]
    assert site.order_authority(kind, site.facilities["a"]).namespace == "OWN"
    for facility in (site.facilities["b"], None):
        issuer = site.order_authority(kind, facility)
        assert (issuer and issuer.namespace) == of_site


@pytest.mark.parametrize("kind", ["accession", "placer", "filler"])
def test_an_issuer_of_order_numbers_is_whole_and_shares_no_namespace(kind):
    half = f"{kind}_namespace = 'OWN'\n"
    with pytest.raises(SiteError) as caught:
        parse_site(CITY + half)
    assert caught.value.key.endswith(f"{kind}_system")
    with pytest.raises(SiteError, match="CITY stands for two systems"):
        parse_site(CITY + LAKE + f"{kind}_system = 'urn:oid:1.7'\n{kind}_namespace = 'CITY'\n")


@pytest.mark.parametrize("code", ["CI|TY", "CITY^1", "two words", "x" * 21, ""])
def test_a_code_that_msh_4_cannot_hold_is_refused(code):
    with pytest.raises(SiteError, match="code"):
        parse_site(f'[[mapping.facilities]]\nname = "A"\ncode = "{code}"')


def test_every_fault_is_found_not_just_the_first():
    site, faults = read_site(CITY.replace("urn:oid:1.2", "x y") + "time_zone = 'Mars'\nname_order = 'x'\nodd = 1")
    assert sorted(fault.key.rpartition(".")[2] for fault in faults) == ["mrn_system", "name_order", "odd", "time_zone"]
    assert site.facilities["a"].time_zone is None


def test_the_policies_of_a_site_are_read():
    site = parse_site(
        """
[mapping]
accession_keys = ["accession", "acc no"]
placer_keys = ["order"]
number_separator = ";"
send_drafts = true
on_cancelled_after_sign = "withdraw"
on_conflict = "send"
"""
    )
    assert (site.accession_keys, site.placer_keys, site.number_separator) == (("accession", "acc no"), ("order",), ";")
    assert (site.send_drafts, site.on_cancelled_after_sign, site.on_conflict) == (True, "withdraw", "send")


def test_the_default_facility_is_one_of_the_tables_and_stands_for_no_other():
    site = parse_site(
        """
[mapping]
default_facility = " City Med "
[[mapping.facilities]]
name = "City Medical Center"
aliases = ["City Med"]
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "CITY"
"""
    )
    assert site.default_facility == site.facility("City Medical Center")
    assert site.facility("Elsewhere") is None


def test_unsigned_text_stays_and_nothing_is_withdrawn_unless_the_site_says_so():
    site = parse_site("[mapping]")
    assert (site.send_drafts, site.on_cancelled_after_sign, site.on_conflict) == (False, "hold", "hold")
    assert (site.accession_keys, site.placer_keys) == ((), ())


def test_a_receiver_of_the_site_starts_from_a_profile_and_changes_switches():
    site = parse_site("[[mapping.receivers]]\nname = 'mercy'\nbase = 'generic'\nversion = '2.4'\nuid = 'none'")
    mercy, generic = site.receiver("mercy"), site.receiver("generic")
    assert (mercy.name, mercy.version, mercy.uid) == ("mercy", "2.4", "none")
    assert (mercy.charset, mercy.rules) == (generic.charset, generic.rules)
    with pytest.raises(SiteError, match=r"Known here: mercy, .*generic"):
        site.receiver("Mercy")


def test_what_is_given_beside_the_text_outranks_it_and_is_checked_like_it():
    text = "[mapping]\nsend_drafts = false\nprovider_system = 'urn:oid:1.2'"
    site = parse_site(text, given={"send_drafts": True, "provider_namespace": "CITY", "accession_keys": ["acc"]})
    assert (site.send_drafts, site.accession_keys) == (True, ("acc",))
    assert site.provider_authority == AssigningAuthority("urn:oid:1.2", "CITY")
    _, faults = read_site(text, given={"on_conflict": "x"})
    assert {fault.key for fault in faults} == {"mapping.on_conflict", "mapping.provider_namespace"}


def test_the_namespace_of_a_customer_stands_for_one_system_too():
    customer = "external_patient_id_system = 'urn:oid:1.9'\nexternal_patient_id_namespace = 'CITY'"
    with pytest.raises(SiteError, match=r"CITY stands for two systems|urn:oid:1\.2 has two namespaces"):
        parse_site(CITY + f"[[mapping.express_customers]]\nid = 'c'\n{customer}")


@pytest.mark.parametrize("half", ['system = "urn:oid:1.2"', 'namespace = "CITY"'])
@pytest.mark.parametrize("kind", ["external_patient_id", "accession", "placer", "filler", "visit", "account"])
def test_half_of_a_pair_that_is_written_elsewhere_is_enough(kind, half):
    pair = 'mrn_system = "urn:oid:1.2"\nmrn_namespace = "CITY"\n'
    for text in (f"{pair}{kind}_{half}", f'{kind}_{half}\n[[mapping.facilities]]\nname = "B"\n{pair}'):
        assert getattr(_facility(text), kind) == AssigningAuthority("urn:oid:1.2", "CITY")


def test_half_of_a_pair_is_found_at_an_express_customer_and_for_the_numbers_of_the_site():
    text = f'[mapping]\naccession_namespace = "X"\n[[mapping.express_customers]]\nid = "cus_1"\n{CUSTOMER}'
    assert parse_site(text).accession_authority == AssigningAuthority("urn:oid:1.2", "X")


def test_half_of_two_pairs_is_not_completed():
    other = '[[mapping.facilities]]\nname = "B"\nmrn_system = "urn:oid:1.3"\nmrn_namespace = "CITY"\n'
    text = f'mrn_system = "urn:oid:1.2"\nmrn_namespace = "CITY"\nvisit_namespace = "CITY"\n{other}'
    _, faults = read_site(f'[[mapping.facilities]]\nname = "A"\n{text}')
    assert [one.key for one in faults] == ["mapping.facilities[0].visit_system", "mapping.facilities"]


def test_the_issuer_of_providers_is_completed_by_no_other():
    text = '[mapping]\nprovider_namespace = "X"\n[[mapping.express_customers]]\nid = "cus_1"\n'
    assert [one.key for one in read_site(text + CUSTOMER)[1]] == ["mapping.provider_system"]


def test_the_clinics_of_a_facility_are_uuids():
    text = "[[mapping.facilities]]\nname = 'Mercy'\nclinic_ids = ['123e4567-e89b-12d3-a456-426614174000']"
    site = parse_site(text)
    assert site.facility("Mercy").clinic_ids == ("123e4567-e89b-12d3-a456-426614174000",)
    _, faults = read_site("[[mapping.facilities]]\nname = 'Mercy'\nclinic_ids = ['mercy']")
    assert [fault.key for fault in faults] == ["mapping.facilities[0].clinic_ids"]
