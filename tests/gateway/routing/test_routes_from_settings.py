"""Destinations of the settings: the result of a table, and every key that conflicts with others."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from gateway import settings
from gateway.routing import Basic, Bearer, Folder, Http, Mllp, routes_of, survey_routes
from gateway.runtime.errors import ConfigError
from gateway.runtime.tls import TlsSettings
from mappings.profile import AssigningAuthority, Facility, Site, receiver

SITE = """
[mapping]
on_conflict = "hold"
[[mapping.facilities]]
name = "City Medical Center"
aliases = ["City Med"]
[[mapping.facilities]]
name = "Lakeside"
[[mapping.receivers]]
name = "secure"
base = "generic"
tls = "required"
[[mapping.receivers]]
name = "later"
base = "generic"
ack_mode = "two_phase"
"""
HEAD = """
[[destination]]
name = "epic"
receiver = "generic"
start = 2026-03-01T00:00:00Z
facilities = ["*"]
"""
MLLP = HEAD + 'kind = "mllp"\nhost = "engine.example"\nport = 2575\n'
BARE = MLLP.replace('"generic"', '"epic-observed"')
TWO_PHASE = MLLP + 'ack_mode = "two_phase"\n'
HTTP = HEAD + 'kind = "http"\nurl = "https://engine.example/hl7"\n'
FILE = HEAD + 'kind = "file"\ndirectory = "out"\n'


@pytest.fixture
def survey(tmp_path):
    def survey(text):
        path = tmp_path / "gateway.toml"
        path.write_text(SITE + text)
        return survey_routes(settings.load(path))

    return survey


@pytest.fixture
def one(survey):
    def one(text):
        routes, faults = survey(text)
        assert faults == []
        (destination,) = routes.destinations
        return destination

    return one


def test_a_table_with_what_must_be_written_is_a_destination_as_its_profile_has_it(one):
    made = one(MLLP)
    assert (made.name, made.place, made.transport) == ("epic", "destination[0]", Mllp("engine.example", 2575))
    assert made.receiver == receiver("generic")
    assert made.start == datetime(2026, 3, 1, tzinfo=UTC)
    assert (made.retry.first, made.on_conflict, made.is_enabled) == (receiver("generic").retry, "hold", True)
    assert (made.accession_wait, made.input_wait, made.critical_alert) == (3600, 60, 900)
    assert (made.hold_until_matched, made.late_match) == (0, "note")


def test_the_switches_of_a_destination_stand_in_place_of_those_of_its_profile(one):
    made = one(
        MLLP
        + 'ack_mode = "commit"\nack_table = { AE = "retry" }\nretry = 9\nwindow = 3\nrate_limit = 7\nkeepalive = 5\n'
        + 'idle_close = 8\npdf = "ed"\npdf_max = 2048\naccession = "required"\non_conflict = "send"\n'
    )
    own = {
        one.name
        for one in fields(made.receiver)
        if getattr(made.receiver, one.name) != getattr(receiver("generic"), one.name)
    }
    assert own == {
        *("ack_mode", "ack_table", "retry", "window", "rate_limit", "keepalive", "idle_close"),
        *("pdf", "pdf_max", "accession"),
    }
    assert made.receiver.ack_table == (("AE", "retry"),)
    assert (made.retry.first, made.on_conflict) == (9, "send")


def test_a_profile_of_the_sites_own_is_taken_by_its_name(one):
    assert one(MLLP.replace('"generic"', '"later"')).receiver.ack_mode == "two_phase"


@pytest.mark.parametrize(
    ("written", "address"),
    [("0.0.0.0:2576", ("0.0.0.0", 2576)), ("[::1]:2576", ("::1", 2576)), ("localhost:1", ("localhost", 1))],
)
def test_a_receiver_may_bring_acknowledgements_over_connections_of_its_own(one, written, address):
    peers = 'ack_peers = ["10.1.2.3", "fd00::/8"]\n'
    made = one(TWO_PHASE + peers + f'ack_listen = "{written}"')
    assert made.transport.ack_peers == (ip_network("10.1.2.3/32"), ip_network("fd00::/8"))
    assert (made.transport.ack_listen, made.transport.ack_tls) == (address, None)
    later = MLLP.replace('"generic"', '"later"')
    assert one(later + peers + f'ack_listen = "{written}"').transport.ack_listen == address


def test_acknowledgements_are_brought_over_tls_where_there_is_a_certificate_to_show(one):
    listening = TWO_PHASE + 'ack_listen = "0.0.0.0:2576"\nack_peers = ["10.1.2.3"]\ntls = true\n'
    assert one(listening).transport.ack_tls is None
    made = one(listening + 'client_cert = "/etc/client.pem"').transport
    assert made.ack_tls == made.tls


MTLS = 'tls = true\nclient_cert = "/etc/client.pem"\nca_file = "/etc/ca.pem"\n'


@pytest.mark.parametrize("address", ["0.0.0.0", "10.9.9.9", "[::]", "gateway.example"])
@pytest.mark.parametrize(
    ("more", "is_open"),
    [
        ("", True),
        ("tls = true\n", True),
        ('tls = true\nca_file = "/etc/ca.pem"\n', True),
        ('tls = true\nclient_cert = "/etc/client.pem"\n', True),
        (MTLS, False),
        ('ack_peers = ["10.1.2.0/24"]\n', False),
    ],
)
def test_beyond_this_machine_who_brings_acknowledgements_must_be_named_or_show_a_certificate(
    survey, address, more, is_open
):
    _, found = survey(f'{TWO_PHASE}ack_listen = "{address}:2576"\n{more}')
    assert [fault.key for fault in found] == ["destination[0].ack_peers"] * is_open
    assert all("ack_peers = [" in fault.cure and "client_cert" in fault.cure for fault in found)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "[::1]"])
def test_of_this_machine_alone_nobody_need_be_named(survey, address):
    assert survey(f'{TWO_PHASE}ack_listen = "{address}:2576"\n')[1] == []


def listening(*addresses, enabled="true"):
    """Return a destination for each address; the last is enabled, the others as stated."""
    ports = range(2575, 2575 + len(addresses))
    tables = [TWO_PHASE.replace('"epic"', f'"e{port}"').replace("2575", str(port)) for port in ports]
    switches = [*[enabled] * (len(addresses) - 1), "true"]
    rows = zip(tables, addresses, switches, strict=True)
    more = 'ack_peers = ["10.1.2.3"]\n'
    return "".join(f'{table}{more}ack_listen = "{address}"\nenabled = {is_on}\n' for table, address, is_on in rows)


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1:2576", "127.0.0.1:2576"), ("0.0.0.0:2576", "127.0.0.1:2576"), ("[::1]:2576", "[::]:2576")],
)
def test_an_address_is_one_destinations(survey, addresses):
    _, (fault,) = survey(listening(*addresses))
    assert fault.key == "destination[1].ack_listen"
    assert survey(listening(*addresses, enabled="false"))[1] == []


def test_other_ports_and_other_addresses_are_others(survey):
    assert survey(listening("0.0.0.0:2576", "0.0.0.0:2577", "127.0.0.1:2578", "127.0.0.2:2578"))[1] == []


SHARED = "shares_address = true\n"


@pytest.mark.parametrize(
    ("table", "other", "key"),
    [
        (MLLP, MLLP.replace("engine", "ENGINE"), "host"),
        (MLLP, MLLP.replace('"generic"', '"pkb"'), "host"),
        (HTTP, HTTP.replace("example/", "example:443/"), "url"),
        (FILE, FILE.replace('"out"', '"./in/../out"'), "directory"),
    ],
)
def test_two_destinations_have_one_address_only_where_both_say_so(survey, table, other, key):
    second = other.replace('"epic"', '"pacs"')
    for told, untold in (("", ""), (SHARED, ""), ("", SHARED)):
        routes, (fault,) = survey(table + told + second + untold)
        assert [one.name for one in routes.destinations] == ["epic"]
        assert (fault.key, "destination epic has the same address" in fault.problem) == (f"destination[1].{key}", True)
        assert "shares_address = true" in fault.cure
    assert survey(table + SHARED + second + SHARED)[1] == []
    assert survey(table + second + "enabled = false\n")[1] == []


def test_of_three_at_one_address_each_must_say_so(survey):
    tables = [MLLP.replace('"epic"', f'"{name}"') for name in ("a", "b", "c")]
    assert survey(SHARED.join([*tables, ""]))[1] == []
    assert [one.key for one in survey(SHARED.join(tables))[1]] == ["destination[2].host"]


def test_a_former_name_is_no_other_tables(survey, one):
    assert one(MLLP + 'formerly = "cerner"\n').formerly == "cerner"
    assert one(MLLP).formerly == ""
    other = FILE.replace('"epic"', '"cerner"')
    for table in (other, other + "enabled = false\n"):
        _, (fault,) = survey(MLLP + 'formerly = "cerner"\n' + table)
        assert (fault.key, fault.problem) == ("destination[0].formerly", "a [[destination]] table has this name still")
    _, (fault,) = survey(MLLP + 'formerly = "epic"\n')
    assert fault.key == "destination[0].formerly"
    _, (fault,) = survey(f'{MLLP}formerly = "a"\n{other}formerly = "a"\n')
    assert (fault.key, fault.problem) == ("destination[1].formerly", "another table has the same")
    with pytest.raises(ConfigError, match=r"destination\[0\].formerly: not 1 to 40 small letters"):
        survey(MLLP + 'formerly = "No Name"\n')


def test_messages_to_a_destination_are_made_under_its_own_policy_about_conflicts(one):
    site = Site(on_conflict="send")
    assert one(MLLP).site(site).on_conflict == "hold"
    assert one(MLLP + 'on_conflict = "send"').site(site).on_conflict == "send"


def test_whose_numbers_mrns_are_is_the_facilities_say_unless_a_destination_says_its_own(one):
    assert one(MLLP).site(Site()).mrn_authority == "facility"
    assert one(MLLP + 'mrn_authority = "receiver"').site(Site()).mrn_authority == "receiver"


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        (MLLP, None),
        (BARE, ""),
        (BARE.replace('"*"', '"Lakeside"'), "LAKE"),
        (BARE.replace('"*"', '"Lakeside", "City Med"'), ""),
        (BARE + 'mrn_authority = "receiver"', None),
    ],
)
def test_a_destination_of_bare_numbers_has_one_namespace_of_mrns_or_none(one, text, bare):
    made = one(text)
    named = [("City Med", "CITY"), ("Lakeside", "LAKE")]
    known = {name: Facility(name, mrn=AssigningAuthority(f"urn:{space}", space)) for name, space in named}
    assert made.site(Site(facilities=known)).bare_namespace == bare


def test_tls_has_its_files_beside_the_settings_file(one, tmp_path):
    made = one(
        MLLP + 'tls = true\nca_file = "ca.pem"\nclient_cert = "/etc/client.pem"\nclient_key = "key.pem"\n'
        'client_key_password = "CANARY"\nserver_name = "engine"\nack_timeout = 4\n'
    )
    tls = made.transport.tls
    assert tls == TlsSettings(
        tmp_path / "ca.pem", tls.certificate_file, tmp_path / "key.pem", key_password="CANARY", server_hostname="engine"
    )
    assert str(tls.certificate_file) == "/etc/client.pem"
    assert made.transport.ack_timeout == 4
    assert "CANARY" not in repr(made)


ZONES = """
[[mapping.facilities]]
name = "Kyoto"
time_zone = "Asia/Tokyo"
[[mapping.facilities]]
name = "Osaka"
time_zone = "Asia/Tokyo"
[[mapping.facilities]]
name = "Busan"
time_zone = "Asia/Seoul"
"""


@pytest.mark.parametrize(
    ("facilities", "own", "quiet"),
    [
        ('["Kyoto", "Osaka"]', "", "Asia/Tokyo"),
        ('["Busan"]', 'time_zone = "Europe/Berlin"\n', "Europe/Berlin"),
        ('["Kyoto", "Busan"]', "", None),
        ('["*"]', "", None),
        ('["Kyoto", "Nowhere"]', "", None),
    ],
)
def test_quiet_hours_are_those_of_the_zone_that_its_facilities_share(survey, facilities, own, quiet):
    table = MLLP.replace('facilities = ["*"]', f"facilities = {facilities}")
    routes, faults = survey(f'{ZONES}{table}{own}quiet_hours = ["22:00-06:00"]\n')
    assert [one.key for one in faults] == ([] if quiet else ["destination[0].time_zone"])
    assert [one.quiet.zone.key for one in routes.destinations] == ([quiet] if quiet else [])


def test_a_directory_is_beside_the_settings_file(one, tmp_path):
    made = one(FILE)
    assert made.transport == Folder(tmp_path / "out")
    assert str(made.transport) == f"file {tmp_path / 'out'}"


@pytest.mark.parametrize(
    ("keys", "auth"),
    [
        ("", None),
        ('token = "CANARY"', Bearer("CANARY")),
        ('user = "gateway"\npassword = "CANARY"', Basic("gateway", "CANARY")),
    ],
)
def test_http_knows_its_credentials_and_shows_none(one, keys, auth):
    made = one(HTTP + keys)
    assert made.transport == Http("https://engine.example/hl7", "hoh", auth, TlsSettings())
    assert (made.transport.host, made.transport.port) == ("engine.example", 443)
    assert "CANARY" not in repr(made)


def test_http_on_this_machine_may_be_without_tls(one):
    made = one(HTTP.replace("https://engine.example/hl7", "http://[::1]:8080/") + 'token = "t"\nstyle = "plain"')
    assert (made.transport.host, made.transport.port, made.transport.tls) == ("::1", 8080, None)
    assert str(made.transport) == "http http://[::1]:8080/ (plain)"


def test_a_facility_is_known_by_all_of_its_names_however_they_are_spelled(one):
    made = one(MLLP.replace('["*"]', '["CITY  med", "Nowhere"]'))
    assert made.filter.scope.facilities == {"city med", "city medical center", "nowhere"}


def test_a_star_is_no_filter_and_modalities_are_compared_as_dicom_has_them(one):
    made = one(MLLP + 'modalities = ["MRI", "ecg"]\nstatuses = ["final"]\ncritical = "only"')
    assert (made.filter.scope.facilities, made.filter.scope.express_customers) == (None, None)
    assert made.filter.scope.modalities == {"MR", "ECG"}
    assert (made.filter.statuses, made.filter.critical) == ({"final"}, "only")


def test_express_customers_may_stand_in_place_of_facilities(one):
    made = one(MLLP.replace('facilities = ["*"]', 'express_customers = ["cus_1"]'))
    assert (made.filter.scope.facilities, made.filter.scope.express_customers) == (None, {"cus_1"})


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (MLLP.replace('"generic"', '"epik"'), ["receiver"]),
        (MLLP.replace('facilities = ["*"]', ""), ["facilities"]),
        (MLLP.replace('host = "engine.example"', ""), ["host"]),
        (MLLP.replace("port = 2575", ""), ["port"]),
        (HTTP.replace('url = "https://engine.example/hl7"', ""), ["url"]),
        (FILE.replace('directory = "out"', ""), ["directory"]),
        (FILE + "port = 1", ["port"]),
        (FILE + 'ack_mode = "commit"', ["ack_mode"]),
        (HTTP + "tls = true", ["tls"]),
        (MLLP + 'url = "https://engine.example"\ndirectory = "out"', ["directory", "url"]),
        (MLLP + 'ca_file = "ca.pem"', ["ca_file"]),
        (MLLP + 'server_name = "engine"', ["server_name"]),
        (MLLP + 'tls = true\nclient_key = "key.pem"', ["client_cert"]),
        (MLLP + 'tls = true\nclient_key_password = "word"', ["client_cert"]),
        (HTTP.replace("https:", "http:") + 'ca_file = "ca.pem"', ["ca_file"]),
        (HTTP.replace("https:", "http:") + 'token = "t"', ["url"]),
        (HTTP + 'user = "u"', ["password"]),
        (HTTP + 'password = "p"', ["user"]),
        (HTTP + 'user = "u"\npassword = "p"\ntoken = "t"', ["token"]),
        (HTTP + 'user = "u"\ntoken = "t"', ["token", "password"]),
        (HTTP + 'password = "p"\ntoken = "t"', ["token", "user"]),
        (MLLP.replace('"generic"', '"secure"'), ["tls"]),
        (HTTP.replace('"generic"', '"secure"').replace("https:", "http:"), ["url"]),
        (HTTP.replace('"generic"', '"later"'), ["ack_mode"]),
        (HTTP + 'ack_mode = "two_phase"', ["ack_mode"]),
        (MLLP + 'ack_listen = "localhost:2576"', ["ack_listen"]),
        (MLLP + 'ack_mode = "commit"\nack_listen = "localhost:2576"', ["ack_listen"]),
        (FILE + 'ack_listen = "localhost:2576"', ["ack_listen"]),
        (TWO_PHASE + 'ack_peers = ["10.1.2.3"]', ["ack_peers"]),
        (HTTP + 'ack_listen = "localhost:2576"', ["ack_listen"]),
        (MLLP + 'statuses = ["draft"]', ["statuses"]),
        (MLLP + 'statuses = ["draft"]\ncritical = "only"', ["statuses", "critical"]),
        (MLLP + 'quiet_hours = ["22:00-06:00"]', ["time_zone"]),
        (MLLP + 'quiet_hours = ["06:00-22:00", "22:00-06:00"]\ntime_zone = "Europe/Berlin"', ["quiet_hours"]),
        (MLLP + MLLP.replace("2575", "2576"), ["name"]),
    ],
)
def test_keys_that_do_not_go_together_are_named_with_what_to_write(survey, text, keys):
    routes, found = survey(text)
    place = "destination[1]" if text.count("[[destination]]") == 2 else "destination[0]"
    assert [fault.key for fault in found] == [f"{place}.{key}" for key in keys]
    assert all(fault.problem and fault.cure for fault in found)
    assert len(routes.destinations) == text.count("[[destination]]") - 1


@pytest.mark.parametrize(
    "text", [MLLP.replace('"generic"', '"secure"') + "tls = true", HTTP.replace('"generic"', '"secure"')]
)
def test_a_receiver_that_demands_tls_is_reached_over_it(one, text):
    assert one(text).transport.tls == TlsSettings()


def test_a_switch_that_the_profile_cannot_have_is_named_at_the_destination(survey):
    own = '[[mapping.receivers]]\nname = "pacs"\nbase = "rad128"\naccession_field = "3"\n'
    _, (fault,) = survey(own + MLLP.replace('"generic"', '"pacs"') + 'accession = "optional"')
    assert fault.key == "destination[0].accession"
    assert "profile pacs" in fault.problem


def test_a_switch_beside_that_which_is_wrong_is_named_where_the_other_is_the_profiles(survey):
    own = '[[mapping.receivers]]\nname = "pacs"\nbase = "rad128"\naccession_field = "3"\naccessions = "messages"\n'
    _, (fault,) = survey(own + MLLP.replace('"generic"', '"pacs"') + 'pdf = "separate_message"')
    assert fault.key == "destination[0].pdf"


def test_a_profile_of_the_sites_own_that_is_wrong_is_told_of_there_and_not_again(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('[[mapping.receivers]]\nname = "pacs"\nuid = "sop"\n' + MLLP.replace('"generic"', '"pacs"'))
    configuration, found = settings.survey(path)
    assert [fault.key for fault in found] == ["mapping.receivers[0].uid"]
    assert survey_routes(configuration) == (routes_of(settings.load(None)), [])


def test_the_first_fault_is_raised_and_names_the_file(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(MLLP.replace('"generic"', '"epik"'))
    with pytest.raises(ConfigError, match=r"destination\[0\]\.receiver: no such receiver profile") as caught:
        routes_of(settings.load(path))
    assert caught.value.source == str(path)


def test_a_rule_for_what_nobody_needs_names_something(survey):
    rule = '[[ignore]]\nname = "trials"\nreason = "read for a study"\n'
    routes, (fault,) = survey(rule)
    assert (routes.ignores, fault.key) == ((), "ignore[0].facilities")
    routes, faults = survey(rule + 'facilities = ["city med"]\n' + rule + 'modalities = ["*"]\n')
    assert [fault.key for fault in faults] == ["ignore[1].name"]
    assert routes.ignores[0].scope.facilities == {"city med", "city medical center"}
    assert routes.ignores[1].scope.modalities is None


def test_without_tables_there_are_no_destinations():
    assert survey_routes(settings.load(None))[0].destinations == ()


EHR = {
    "ehr_url": "https://ehr.example/fhir/",
    "ehr_token_url": "https://ehr.example/token",
    "ehr_client_id": "gateway",
    "ehr_key_file": "ehr.pem",
}


def lines_of(**changes: str | None) -> str:
    """Return the keys of an EHR as lines; None leaves one out."""
    return "".join(f'{key} = "{value}"\n' for key, value in {**EHR, **changes}.items() if value is not None)


def test_an_ehr_is_read_with_its_key_beside_the_settings(one, tmp_path):
    read = one(MLLP + lines_of() + "ehr_sampling = 0.5\n").ehr
    assert (read.url, read.key_file) == ("https://ehr.example/fhir", tmp_path / "ehr.pem")
    assert (read.requests_per_hour, read.sampling) == (600, 0.5)
    assert one(MLLP).ehr is None


@pytest.mark.parametrize("missing", EHR)
def test_the_keys_of_an_ehr_belong_together(survey, missing):
    _, found = survey(MLLP + lines_of(**{missing: None}))
    assert [fault.key for fault in found] == [f"destination[0].{missing}"]


@pytest.mark.parametrize("key", ["ehr_url", "ehr_token_url"])
def test_an_ehr_is_asked_over_tls_unless_it_is_on_this_machine(survey, key):
    _, found = survey(MLLP + lines_of(**{key: "http://ehr.example/x"}))
    assert [fault.key for fault in found] == [f"destination[0].{key}"]
    assert survey(MLLP + lines_of(**{key: "http://127.0.0.1:8080/x"}))[1] == []
