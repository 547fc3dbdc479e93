"""`check-config` for destinations: faults with key and remedy, notes, and settings in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from gateway.checks import config as config_check
from gateway.checks import destinations
from gateway.runtime import clock
from gateway.runtime.client_key import made_client_key
from gateway.settings import load

DEFAULT = 'default_facility = "City Medical Center"\n'
SITE = f"""
[auth]
mode = "builtin"
[webhook]
key = "whsec_c2VjcmV0"
[upstream]
api_key = "a-secret-api-key"
[mapping]
site_key = "0123456789abcdef0123456789abcdef"
sending_facility = "CITY"
{DEFAULT}[[mapping.facilities]]
name = "City Medical Center"
aliases = ["City Med"]
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "CITY"
[[mapping.express_customers]]
id = "cus_1"
external_patient_id_system = "urn:oid:1.2.4"
external_patient_id_namespace = "EXT"
"""
HEAD = """
[[destination]]
name = "epic"
receiver = "generic"
start = 2026-03-01T00:00:00Z
facilities = ["*"]
"""
MLLP = HEAD + 'kind = "mllp"\nhost = "localhost"\nport = 2575\n'
FILE = HEAD + 'kind = "file"\ndirectory = "out"\n'
LISTENS = MLLP + 'ack_mode = "two_phase"\nack_listen = "0.0.0.0:2576"\nack_peers = ["10.1.2.3"]\n'
RECEIVERS = 'mrn_authority = "receiver"\n'
LAKESIDE = '[[mapping.facilities]]\nname = "Lakeside"\nmrn_system = "urn:oid:1.2.5"\nmrn_namespace = "LAKE"\n'


@pytest.fixture(autouse=True)
def july(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 7, 1, tzinfo=UTC))


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str, site: str = SITE) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(site + text)
        return path

    return write


@pytest.fixture
def keys(config):
    """The keys of all faults; each says what to do."""

    def keys(text: str, site: str = SITE) -> list[str]:
        faults = config_check.faults(config(text, site))
        assert all(fault.problem and fault.cure for fault in faults)
        return [fault.key for fault in faults]

    return keys


@pytest.fixture
def notes(config):
    """List the notes on destinations, and on facilities without one."""

    def notes(text: str, site: str = SITE) -> list[str]:
        path = config(text, site)
        assert config_check.faults(path) == []
        return [note for note in config_check.warnings(load(path)) if "estination" in note]

    return notes


@pytest.fixture
def pki(tmp_path: Path):
    """Files of a CA and of a certificate that is valid now."""
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = ca.issue_cert("gateway.example", not_after=datetime(2026, 7, 15, tzinfo=UTC))
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    old = ca.issue_cert("gateway.example", not_after=datetime(2026, 6, 30, tzinfo=UTC))
    old.private_key_and_cert_chain_pem.write_to_path(tmp_path / "old.pem")
    other.issue_cert("gateway.example").private_key_pem.write_to_path(tmp_path / "other-key.pem")
    (tmp_path / "nonsense.pem").write_text("no PEM at all")


def test_a_destination_that_can_work_has_no_fault_and_nothing_to_be_noted(keys, notes):
    assert keys(MLLP) == []
    assert notes(MLLP) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (MLLP.replace('"mllp"', '"fax"'), "destination[0].kind"),
        (MLLP.replace('"generic"', '"epik"'), "destination[0].receiver"),
        (MLLP.replace("start = 2026-03-01T00:00:00Z", ""), "destination[0].start"),
        (MLLP.replace('facilities = ["*"]', ""), "destination[0].facilities"),
        (MLLP.replace('["*"]', '["City Med", "Lakside"]'), "destination[0].facilities[1]"),
        (MLLP + '[[ignore]]\nname = "a"\nreason = "b"\nfacilities = ["Lakside"]', "ignore[0].facilities[0]"),
        (MLLP + 'statuses = ["draft"]\n', "destination[0].statuses"),
        (MLLP + 'ack_listen = "localhost:2576"\n', "destination[0].ack_listen"),
        (LISTENS.replace(":2576", ""), "destination[0].ack_listen"),
        (LISTENS.replace("ack_peers", "# "), "destination[0].ack_peers"),
        (LISTENS + LISTENS.replace('"epic"', '"pacs"').replace("2575", "2577"), "destination[1].ack_listen"),
        (MLLP + 'quiet_hours = ["00:00-24:00"]\ntime_zone = "Europe/Berlin"', "destination[0].quiet_hours"),
        (MLLP + MLLP.replace("2575", "2576"), "destination[1].name"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_what_to_do(keys, text, key):
    assert keys(text) == [key]


SOURCE = """
[[source]]
name = "his"
listen = "127.0.0.1:2601"
may = ["merges"]
facility = "City Medical Center"
"""


def test_reports_that_cannot_move_after_a_merge_are_noted(notes):
    moving = MLLP + 'merge = "move"\n'
    assert notes(moving) == ["destination epic: merge is move, and no [[source]] may send merges: nothing moves"]
    assert notes(moving + SOURCE) == []


def test_what_is_wrong_with_one_destination_hides_nothing_of_another(keys):
    assert keys(MLLP.replace('"epic"', '"one"') + "gap = -1\n" + FILE) == ["destination[0].gap"]
    assert keys(MLLP.replace('"generic"', '"epik"') + FILE.replace('"epic"', '"two"')) == [
        "destination[0].receiver",
        "destination[1].directory",
    ]


def test_the_profile_that_was_withdrawn_is_refused_with_both_that_stand_for_it(config):
    (fault,) = config_check.faults(config(MLLP.replace('"generic"', '"vista"')))
    assert fault.key == "destination[0].receiver"
    assert "vista-2.3 or vista-2.4" in fault.cure


@pytest.mark.parametrize(
    ("files", "key", "said"),
    [
        ('ca_file = "nowhere.pem"', "ca_file", "cannot be read (No such file or directory)"),
        ('client_cert = "nowhere.pem"', "client_cert", "cannot be read"),
        ('client_cert = "cert.pem"\nclient_key = "nowhere.pem"', "client_key", "cannot be read"),
        ('ca_file = "nonsense.pem"', "ca_file", "not PEM"),
        ('client_cert = "nonsense.pem"', "client_cert", "not PEM"),
        ('client_cert = "cert.pem"', "client_cert", "not PEM"),
        ('client_cert = "cert.pem"\nclient_key = "other-key.pem"', "client_cert", "do not belong together"),
        ('client_cert = "old.pem"', "client_cert", "has expired"),
    ],
)
def test_a_wrong_file_of_tls_is_named_by_its_key_and_not_by_its_path(config, pki, files, key, said):
    (fault,) = config_check.faults(config(f"{MLLP}tls = true\n{files}\n"))
    assert (fault.key, said in fault.problem) == (f"destination[0].{key}", True)
    assert ".pem" not in str(fault)


def test_files_of_tls_that_work_are_no_fault(keys, pki):
    assert keys(f'{MLLP}tls = true\nca_file = "ca.pem"\nclient_cert = "client.pem"\n') == []
    https = HEAD + 'kind = "http"\nurl = "https://engine.example"\nca_file = "ca.pem"\n'
    assert keys(https) == []
    assert keys(https.replace("ca.pem", "nonsense.pem")) == ["destination[0].ca_file"]


def test_the_key_for_the_ehr_must_be_readable_and_a_key(config, keys, tmp_path):
    ehr = (
        f'{MLLP}ehr_url = "https://ehr.example"\nehr_token_url = "https://ehr.example/token"\nehr_client_id = "us"\n'
        'ehr_key_file = "ehr.pem"\n'
    )
    (fault,) = config_check.faults(config(ehr))
    assert (fault.key, "cannot be read" in fault.problem) == ("destination[0].ehr_key_file", True)
    (tmp_path / "ehr.pem").write_text("no key")
    assert keys(ehr) == ["destination[0].ehr_key_file"]
    (tmp_path / "ehr.pem").unlink()
    made_client_key(tmp_path / "ehr.pem", "ES384")
    assert keys(ehr) == []


def test_a_directory_must_be_there_and_the_service_must_be_let_in(config, keys, tmp_path, monkeypatch):
    for make, said in (
        (lambda: None, "not there"),
        (lambda: (tmp_path / "out").write_text(""), "no directory"),
    ):
        make()
        (fault,) = config_check.faults(config(FILE))
        assert (fault.key, fault.problem) == ("destination[0].directory", said)
    (tmp_path / "out").unlink()
    (tmp_path / "out").mkdir()
    assert keys(FILE) == []
    monkeypatch.setattr("os.access", lambda *_: False)
    (fault,) = config_check.faults(config(FILE))
    assert "cannot be written to" in fault.problem


def test_names_sent_over_mllp_need_an_order_of_names_for_each_facility_of_the_destination(config, keys, tmp_path):
    (tmp_path / "out").mkdir()
    assert keys(LAKESIDE + MLLP) == ["mapping.facilities[1].name_order"]
    (fault,) = config_check.faults(config(LAKESIDE + MLLP))
    assert "destination epic" in fault.problem
    assert "given_family" in fault.cure
    assert keys(LAKESIDE + MLLP.replace('"*"', '"city med"')) == []
    assert keys(LAKESIDE + FILE) == []
    twice = MLLP + MLLP.replace('"epic"', '"pacs"').replace("2575", "2576")
    assert keys(LAKESIDE + twice) == ["mapping.facilities[1].name_order"]


def test_without_facilities_nobody_knows_the_order_of_names_nor_whose_numbers_mrns_are(keys, tmp_path):
    bare = SITE.partition("[[mapping.facilities]]")[0].replace(DEFAULT, "")
    assert keys(MLLP, bare) == ["mapping.facilities", "destination[0].facilities"]
    assert keys(MLLP + RECEIVERS, bare) == ["mapping.facilities"]
    (tmp_path / "out").mkdir()
    assert keys(FILE, bare) == ["destination[0].facilities"]
    assert keys(FILE + RECEIVERS, bare) == []


def test_each_facility_of_a_destination_needs_the_authority_of_its_mrns_unless_they_are_the_receivers(config, keys):
    bare = '[[mapping.facilities]]\nname = "Lakeside"\nname_order = "given_family"\n'
    assert keys(bare + MLLP) == ["mapping.facilities[1].mrn_namespace"]
    (fault,) = config_check.faults(config(bare + MLLP))
    assert "destination epic would hold" in fault.problem
    assert 'mrn_authority = "receiver"' in fault.cure
    other = MLLP.replace('"epic"', '"pacs"').replace("2575", "2576")
    assert keys(bare + MLLP + other) == ["mapping.facilities[1].mrn_namespace"]
    assert keys(bare + MLLP.replace('"*"', '"City Med"')) == []
    assert keys(bare + MLLP + RECEIVERS) == []
    assert keys(bare + MLLP + "enabled = false\n") == []


def test_the_service_starts_where_reports_would_be_held_for_want_of_an_authority(config):
    bare = '[[mapping.facilities]]\nname = "Lakeside"\nname_order = "given_family"\n'
    assert list(destinations.faults(load(config(bare + MLLP)))) == []


def test_a_default_facility_is_one_that_says_whose_numbers_its_mrns_are(keys):
    assert keys(MLLP, SITE.replace(DEFAULT, 'default_facility = "Elsewhere"\n')) == ["mapping.default_facility"]
    bare = SITE.replace('mrn_system = "urn:oid:1.2.3"\nmrn_namespace = "CITY"\n', "")
    assert "mapping.default_facility" in keys(MLLP, bare)


def test_a_receiver_that_asks_for_an_authority_is_not_one_whose_own_all_mrns_are(keys):
    converter = MLLP.replace('"generic"', '"fhir-converter"')
    assert keys(converter + RECEIVERS) == ["destination[0].mrn_authority"]
    assert keys(converter) == keys(MLLP + RECEIVERS) == []


def test_where_mrns_go_bare_a_destination_takes_those_of_one_namespace(config, keys, tmp_path):
    (tmp_path / "out").mkdir()
    bare = FILE.replace('"generic"', '"epic-observed"')
    assert keys(bare) == keys(LAKESIDE + FILE) == []
    assert keys(LAKESIDE + bare) == ["destination[0].facilities"]
    (fault,) = config_check.faults(config(LAKESIDE + bare))
    assert "CITY, LAKE" in fault.problem
    assert 'mrn_authority = "receiver"' in fault.cure
    assert keys(LAKESIDE + bare.replace('"*"', '"City Med", "Lakeside"')) == ["destination[0].facilities"]
    assert keys(LAKESIDE + bare.replace('"*"', '"City Med"')) == []
    assert keys(LAKESIDE + bare.replace('"*"', '"Lakeside"')) == []
    assert keys(LAKESIDE + bare.replace('facilities = ["*"]', 'express_customers = ["cus_1"]')) == [
        "destination[0].facilities"
    ]
    assert keys(LAKESIDE.replace("LAKE", "CITY").replace("1.2.5", "1.2.3") + bare) == []
    assert keys(LAKESIDE + bare + RECEIVERS) == []
    assert list(destinations.faults(load(config(LAKESIDE + bare)))) == []


def test_that_reports_of_unknown_facilities_would_be_held_is_noted(notes):
    site = SITE.replace(DEFAULT, "")
    (note,) = notes(MLLP, site)
    assert "held as authority-unknown" in note
    (note,) = notes(MLLP.replace('facilities = ["*"]', 'express_customers = ["cus_1"]'), site)
    assert "held as authority-unknown" in note
    assert notes(MLLP.replace('"*"', '"City Med"'), site) == []
    (note,) = notes(MLLP + RECEIVERS, site)
    assert "two facilities with the same MRN are one patient there" in note
    assert notes(MLLP.replace('"*"', '"City Med"') + RECEIVERS, site) == []


def test_a_receiver_that_would_refuse_every_message_of_the_site_is_a_fault(keys):
    archive = MLLP.replace('"generic"', '"rad128"')
    assert keys(archive) == ["mapping.receiving_application", "mapping.receiving_facility"]
    addressed = SITE.replace(
        "sending_facility", 'receiving_application = "A"\nreceiving_facility = "B"\nsending_facility'
    )
    assert keys(archive, addressed) == []
    assert keys(archive, addressed.replace("sending_facility", 'sending_application = ""\nsending_facility')) == [
        "mapping.sending_application"
    ]


@pytest.mark.full
def test_a_switch_that_breaks_a_rule_of_the_profile_is_named_at_the_destination(config, keys):
    addressed = SITE.replace(
        "sending_facility", 'receiving_application = "A"\nreceiving_facility = "B"\nsending_facility'
    )
    archive = MLLP.replace('"generic"', '"rad128"')
    found = config_check.faults(config(archive + 'ack_mode = "commit"\n', addressed))
    assert {fault.key for fault in found} == {"destination[0].ack_mode"}
    assert 'ack_mode = "original"' in found[0].cure
    assert keys(archive + "retry = 9\n", addressed) == []


def test_of_a_destination_that_is_switched_off_nothing_is_asked_but_that_it_can_be_read(keys, notes):
    off = FILE + "enabled = false\n"
    assert keys(off) == []
    assert notes(off) == ["destination epic: enabled is off: nothing is queued for it"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("dry_run = true", "dry_run is on"),
        ('modalities = ["ECG"]', "modalities[0] is none of"),
        ('modalities = ["PET/CT", "CT/ECG"]', "modalities[1] is none of"),
        ('express_customers = ["cus_1", "cus_2"]', "express_customers[1] is in no"),
        ('statuses = ["final", "addendum"]', "statuses leaves out corrected"),
        ('statuses = ["final", "corrected"]', "statuses leaves out addendum"),
        ('statuses = ["final", "addendum", "corrected", "draft"]', "the profile sends none"),
        ('quiet_hours = ["22:00-06:00"]\ntime_zone = "Europe/Berlin"', "critical results"),
        ('accession = "required"', "needs an accession number"),
    ],
)
def test_what_may_surprise_is_noted(notes, change, said):
    (note,) = notes(f"{MLLP}{change}\n")
    assert note.startswith("destination epic: ")
    assert said in note


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MLLP.replace("2026-03", "2026-08"), "start is in the future"),
        (MLLP.replace("localhost", "engine.example"), "no TLS"),
        (HEAD + 'kind = "http"\nurl = "http://localhost"\nstyle = "plain"', "2xx counts as delivered"),
        (LISTENS, "ack_listen is without TLS"),
        (LISTENS + "tls = true", "ack_listen is without TLS"),
    ],
)
def test_what_is_open_to_doubt_about_the_way_there_is_noted(notes, text, said):
    (note,) = notes(text)
    assert said in note


def test_where_acknowledgements_are_brought_from_this_machine_or_over_tls_nothing_is_noted(notes, pki):
    assert notes(LISTENS.replace("0.0.0.0", "127.0.0.1")) == []
    (note,) = notes(LISTENS + 'tls = true\nclient_cert = "client.pem"\n')
    assert "expires" in note


def test_a_certificate_that_expires_soon_is_noted(notes, pki):
    (note,) = notes(f'{MLLP}tls = true\nclient_cert = "client.pem"\n')
    assert note == "destination epic: client_cert expires in 14 days"


def test_pdfs_that_are_not_kept_cannot_be_sent(notes):
    (note,) = notes(MLLP + 'pdf = "ed"\n', SITE + '[pdf]\ningest = "link"\n')
    assert "pdf.ingest is link" in note


def test_a_receiver_that_files_by_facility_is_not_sent_what_names_none(notes):
    site = SITE.replace('sending_facility = "CITY"', 'receiving_application = "A"\nreceiving_facility = "B"')
    site = site.replace("[mapping]", '[mapping]\naccession_keys = ["a"]')
    archive = MLLP.replace('"generic"', '"rad128"')
    (note,) = notes(archive, site)
    assert "needs MSH-4" in note
    assert notes(archive.replace('"*"', '"City Med"'), site) == []


def test_two_destinations_at_one_address_are_a_fault_unless_both_say_that_it_is_meant(keys, notes):
    second = MLLP.replace('"epic"', '"pacs"')
    assert keys(MLLP + second) == ["destination[1].host"]
    told = "shares_address = true\n"
    assert notes(MLLP + told + second + told) == []
    assert notes(MLLP + second + "enabled = false\n") == ["destination pacs: enabled is off: nothing is queued for it"]


def test_a_facility_whose_reports_nobody_takes_is_noted(notes):
    lakeside = LAKESIDE + 'name_order = "given_family"\n'
    city = MLLP.replace('"*"', '"City Med"')
    assert notes(lakeside + city) == [
        "facility Lakeside: no destination takes its reports, and no [[ignore]] names them"
    ]
    assert notes(lakeside + MLLP) == []
    assert notes(lakeside + city + '[[ignore]]\nname = "a"\nreason = "b"\nfacilities = ["LAKESIDE"]\n') == []
    assert notes(lakeside) == []


def test_keys_of_experts_are_shown_apart_with_their_default(config):
    lines = list(config_check.effective(load(config(MLLP + "gap = 3\ndry_run = true\nwindow = 4\n"))))
    assert "dry_run true" in lines[-2] and "gap" not in lines[-2]
    assert lines[-1] == "expert: destination epic: gap = 3 (default: 0)"


def test_each_destination_is_shown_with_its_secrets_masked(config, monkeypatch):
    monkeypatch.setenv("GATEWAY_DESTINATION__WEB__TOKEN", "CANARY")
    web = HEAD.replace('"epic"', '"web"') + 'kind = "http"\nurl = "https://engine.example/hl7"\n'
    rule = '[[ignore]]\nname = "trials"\nreason = "read for a study"\nmodalities = ["OT"]\n'
    lines = list(config_check.effective(load(config(f'{MLLP}window = 4\npdf = "ed"\n{web}{rule}'))))
    assert lines[-3:] == [
        "destination epic: mllp localhost:2575; start 2026-03-01T00:00:00+00:00; facilities *; "
        'receiver generic; pdf = "ed"; window = 4; 2 rules',
        "destination web: http https://engine.example/hl7 (hoh); start 2026-03-01T00:00:00+00:00; facilities *; "
        "token **********; receiver generic; 2 rules",
        "ignore trials: reason read for a study; modalities OT",
    ]
    assert "CANARY" not in "".join(lines)
