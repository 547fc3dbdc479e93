"""`check-config`: each fault with its file, key and remedy; without faults, the settings in force, secrets masked."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gateway.checks import config as config_check
from gateway.runtime.errors import ConfigError
from gateway.settings import load

GOOD = """
[auth]
mode = "builtin"
[upstream]
api_key = "a-secret-api-key"
[mapping]
site_key = "0123456789abcdef0123456789abcdef"
[[mapping.facilities]]
name = "City Medical Center"
aliases = ["City Med"]
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "CITY"
external_patient_id_system = "urn:oid:1.2.4"
external_patient_id_namespace = "EXT"
code = "CITY_MED"
[[mapping.facilities]]
name = "Lakeside"
"""


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        return path

    return write


def test_a_good_file_has_no_fault(config) -> None:
    assert config_check.faults(config(GOOD)) == []


@pytest.mark.parametrize(
    ("old", "new", "key", "remedy"),
    [
        ("America/New_York", "Eastern", "mapping.facilities[0].time_zone", "America/New_York"),
        (
            "given_family",
            "western",
            "mapping.facilities[0].name_order",
            "given_family, given_two_families, family_given, marked_only",
        ),
        ("urn:oid:1.2.3", "not a uri", "mapping.facilities[0].mrn_system", "urn:oid:"),
        ('mrn_namespace = "CITY"\n', "", "mapping.facilities[0].mrn_namespace", "assigning authority"),
        ("name_order", "nameorder", "mapping.facilities[0].nameorder", "name_order"),
        ("0123456789abcdef0123456789abcdef", "short", "mapping.site_key", "keys site"),
        ('api_key = "a-secret-api-key"\n', "", "upstream.api_key", "AVARA_API_KEY"),
        ('site_key = "0123456789abcdef0123456789abcdef"\n', "", "mapping.site_key", "keys site"),
        ('mode = "builtin"\n', "", "auth.mode", "--insecure"),
        ("[upstream]", '[server]\nhost = "0.0.0.0"\n[upstream]', "server.host", "tls_certificate"),
        ("[upstream]", "[upstream", "file", "Mend"),
    ],
)
def test_a_mistake_is_named_with_its_file_its_key_and_a_remedy(config, old, new, key, remedy) -> None:
    path = config(GOOD.replace(old, new))
    faults = config_check.faults(path)
    assert [fault.key for fault in faults] == [key]
    assert remedy in faults[0].cure
    assert str(path) in str(faults[0]) or faults[0].source == "settings"


def test_every_mistake_of_a_facility_is_named_not_just_the_first(config) -> None:
    text = (
        GOOD.replace("America/New_York", "Eastern").replace("given_family", "western").replace("urn:oid:1.2.3", "x y")
    )
    keys = [fault.key.rpartition(".")[2] for fault in config_check.faults(config(text))]
    assert sorted(keys) == ["mrn_system", "name_order", "time_zone"]


def test_what_is_in_force_is_shown_with_secrets_masked(config) -> None:
    path = config(GOOD)
    shown = "\n".join(config_check.effective(load(path)))
    assert shown.startswith(f"settings: {path}; what is not shown has its default")
    assert "\nupstream.api_key = ********** (default: not set)\n" in shown
    assert "secret-api-key" not in shown and "0123456789abcdef" not in shown
    assert (
        "facility City Medical Center: aliases City Med; time zone America/New_York; name order given_family" in shown
    )


OTHERS = """
[database]
url = "postgresql://gateway:a-password@db.example/gateway"
[server]
port = 8900
[fhir]
claim_us_core = true
[sync]
pages_per_second = 4
concurrency = 8
[pdf]
ingest = "fetch"
"""


def test_what_differs_from_its_default_is_shown_beside_it_and_that_of_experts_apart(config) -> None:
    shown = [line for line in config_check.effective(load(config(OTHERS + GOOD))) if " (default: " in line]
    assert shown == [
        "upstream.api_key = ********** (default: not set)",
        "server.port = 8900 (default: 8800)",
        "auth.mode = builtin (default: not set)",
        "database.url = ********** (default: sqlite:///autoscribe-gateway.db)",
        "mapping.site_key = ********** (default: not set)",
        "expert: fhir.claim_us_core = true (default: false)",
        "expert: sync.pages_per_second = 4 (default: 2)",
    ]
    assert "a-password" not in "".join(shown)


def test_of_an_escalation_its_minutes_and_the_host_are_shown_and_nothing_else_of_its_address(config) -> None:
    shown = list(config_check.effective(load(config(GOOD + ESCALATE))))
    assert "escalation after 7.5 minutes: pager.example" in shown
    assert "CANARY" not in "".join(shown)


ESCALATE = '[[feed.escalate]]\nminutes = 7.5\nurl = "https://pager.example/CANARY"\n'
SHARED = GOOD.replace('name = "Lakeside"', 'name = "Lakeside"\ntime_zone = "America/New_York"')
WEBHOOK = '[webhook]\nkey = "whsec_c2VjcmV0"\n'
# Nothing is to be noted of the service itself
QUIET = WEBHOOK + '[fhir]\ntime_zone = "Europe/Berlin"\n' + GOOD


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SHARED, "no webhook.key"),
        (WEBHOOK + "[fhir]\nclaim_us_core = true\n" + SHARED, "fhir.claim_us_core is on"),
        (WEBHOOK + '[feed]\nalert_url = "https://a.example"\n' + ESCALATE + SHARED, "feed.escalate without a key"),
        (WEBHOOK + '[feed]\nalert_key = "c2VjcmV0"\n' + ESCALATE + SHARED, "feed.escalate, and no feed.alert_url"),
        (WEBHOOK + GOOD, "no fhir.time_zone"),
        (WEBHOOK + GOOD.replace("Lakeside", 'Lakeside"\ntime_zone = "America/Chicago'), "no fhir.time_zone"),
    ],
)
def test_what_the_service_may_do_otherwise_than_one_thinks_is_noted(config, text: str, said: str) -> None:
    notes = [note for note in config_check.warnings(load(config(text))) if "facility" not in note]
    assert [note.startswith(said) for note in notes] == [True]


@pytest.mark.parametrize("text", [WEBHOOK + SHARED, QUIET])
def test_where_nothing_is_doubtful_nothing_is_noted_of_the_service(config, text: str) -> None:
    assert [note for note in config_check.warnings(load(config(text))) if "facility" not in note] == []


def test_what_a_facility_leaves_unsaid_is_noted(config) -> None:
    notes = list(config_check.warnings(load(config(QUIET))))
    assert len(notes) == 4 and all(note.startswith("facility Lakeside: no ") for note in notes)
    assert "no [[mapping.facilities]]" in next(iter(config_check.warnings(load(config(WEBHOOK)))))


ISSUER = 'accession_system = "urn:oid:1.7"\naccession_namespace = "ACC"\n'


def test_a_facility_whose_order_numbers_alone_have_no_issuer_is_noted(config) -> None:
    two = QUIET + "\n[[mapping.facilities]]\nname = 'Annex'\n"
    said = "facility Lakeside: no accession_system, and other facilities have one: its numbers match no order"
    assert said not in config_check.warnings(load(config(two)))
    assert said in config_check.warnings(load(config(two + ISSUER)))


EXTRA = """
[[mapping.express_customers]]
id = "cus_1"
external_patient_id_system = "urn:oid:1.2.9"
external_patient_id_namespace = "TAMPA"
[mapping.procedure_fallbacks]
CT = "CTGEN"
[[mapping.receivers]]
name = "mercy"
base = "generic"
uid = "none"
"""


def test_of_tables_and_files_the_sizes_are_shown_and_never_a_row(config, tmp_path: Path) -> None:
    (tmp_path / "procedures.csv").write_text("procedure,code,system\nToe,24627-2,LOINC\nCT Chest,24627-2,LOINC\n")
    (tmp_path / "providers.csv").write_text("name,family\nDr. CANARY,CANARY\nCANARY MD,CANARY\n")
    files = '[mapping]\nprocedures = "procedures.csv"\nproviders = "providers.csv"\n'
    shown = "\n".join(config_check.effective(load(config(GOOD.replace("[mapping]\n", files) + EXTRA))))
    assert "\nprocedures: 2 of the site, " in shown and "of the starter; without a match CT CTGEN\n" in shown
    assert "\nproviders: 2 names, 0 users\n" in shown
    assert "\nexpress customer cus_1: external patient id TAMPA urn:oid:1.2.9\n" in shown
    assert '\nreceiver mercy: uid = "none"; ' in shown
    assert "mapping.receivers" not in shown and "CANARY" not in shown


def test_the_organization_of_a_facility_is_shown(config) -> None:
    text = GOOD.replace("code =", 'npi = "1234567893"\ncity = "Tampa"\naddress_lines = ["1 Main Street"]\ncode =')
    assert "; NPI 1234567893; address 1 Main Street, Tampa" in "\n".join(config_check.effective(load(config(text))))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("send_drafts = true", "unsigned text leaves"),
        ('on_cancelled_after_sign = "withdraw"', "withdraws its sent reports"),
        ("starter = false", "without a code"),
        ('number_separator = ";"', "has no effect"),
        ('accession_keys = ["a"]\nplacer_keys = ["a"]', "share a key"),
    ],
)
def test_a_policy_that_may_surprise_is_noted(config, setting: str, said: str) -> None:
    notes = list(config_check.warnings(load(config(QUIET.replace("[mapping]\n", f"[mapping]\n{setting}\n")))))
    assert len(notes) == 5 and said in notes[0]


@pytest.mark.parametrize(
    ("switch", "cure", "said"),
    [
        ('accession = "required"', 'accession_keys = ["a"]', "needs an accession number"),
        ('accession = "required"\naccession_field = "3"', 'accession_keys = ["a"]', "needs an accession number"),
        ('placer_required = "on"', 'placer_keys = ["a"]', "placer order number"),
        ('send_drafts = "on"', "send_drafts = true", "no draft is sent"),
        ('pdf = "rp"', "", "this machine only"),
    ],
)
def test_a_receiver_that_the_site_cannot_serve_is_noted(config, switch: str, cure: str, said: str) -> None:
    def notes(mapping: str, server: str = "") -> list[str]:
        text = GOOD.replace("[mapping]\n", f"{server}[mapping]\n{mapping}\n")
        receiver = f'[[mapping.receivers]]\nname = "mercy"\nbase = "generic"\n{switch}\n'
        return [note for note in config_check.warnings(load(config(text + receiver))) if note.startswith("receiver")]

    (note,) = notes("")
    assert note.startswith("receiver mercy: ") and said in note
    server = "" if cure else '[server]\npublic_url = "https://gateway.example/fhir"\n'
    assert notes(cure, server) == []


def notes_about_an_archive(config, own: str = "", **settings: str) -> list[str]:
    said = {"sending_application": "GW", "receiving_application": "ARC", "receiving_facility": "CITY"} | settings
    keys = "".join(f'{key} = "{value}"\n' for key, value in said.items())
    text = GOOD.replace("[mapping]\n", f'[mapping]\naccession_keys = ["a"]\n{keys}')
    receiver = f'[[mapping.receivers]]\nname = "archive"\nbase = "rad128"\n{own}'
    return [note for note in config_check.warnings(load(config(text + receiver))) if note.startswith("receiver")]


@pytest.mark.parametrize(
    ("rule", "setting"),
    [
        ("msh-3-valued", "sending_application"),
        ("msh-5-valued", "receiving_application"),
        ("msh-6-valued", "receiving_facility"),
    ],
)
def test_a_receiver_that_refuses_every_message_of_the_site_is_noted(config, rule: str, setting: str) -> None:
    notes = partial(notes_about_an_archive, config)
    assert notes() == []
    for unsaid in ("", " "):
        (note,) = notes(**{setting: unsaid})
        assert f"its rule {rule} asks for" in note and f"no {setting} is set: nothing is sent" in note


@pytest.mark.parametrize("setting", ["receiving_application", "receiving_facility"])
def test_a_receiver_with_an_address_of_its_own_needs_none_of_the_site(config, setting: str) -> None:
    assert notes_about_an_archive(config, f'{setting} = "ARC"\n', **{setting: ""}) == []
    (note,) = notes_about_an_archive(config, f'{setting} = ""\n', **{setting: ""})
    assert f"no {setting} is set" in note


SOURCE = """
[[mapping.facilities]]
name = "City"
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "CITY"
[[source]]
name = "his"
listen = "127.0.0.1:2601"
may = ["orders"]
authorities = [{namespace = "X", system = ""}]
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "",
            ["neither facility nor sending_facilities: an accession number of OBR-18 has no authority"],
        ),
        ('accession_field = "OBR-20"\n', ["an accession number of OBR-20 has no authority"]),
        ('accession_field = "ORC-3"\n', []),
        (
            'facility = "City"\n',
            ["has no visit_system: PV1-19 is not sent", "has no account_system: PID-18 is not sent"],
        ),
        ('sending_facilities = {"A" = "City"}\n', ["City has no visit_system", "City has no account_system"]),
    ],
)
def test_numbers_of_a_source_that_get_no_authority_are_noted(config, more, said) -> None:
    notes = [note for note in config_check.warnings(load(config(SOURCE + more))) if note.startswith("source his: ")]
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))


def test_visit_and_account_authorities_of_a_facility_are_not_noted(config) -> None:
    both = "".join(f'{kind}_system = "urn:x:{kind}"\n{kind}_namespace = "{kind}"\n' for kind in ("visit", "account"))
    text = SOURCE.replace('name = "City"\n', f'name = "City"\n{both}') + 'facility = "City"\n'
    assert not [note for note in config_check.warnings(load(config(text))) if note.startswith("source his: ")]


def test_a_receiver_is_refused_whenever_it_is_read(config) -> None:
    path = config(GOOD + '[[mapping.receivers]]\nname = "mercy"\nbase = "vista-2.3"\nstatus_map = { P = "F" }\n')
    assert [fault.key for fault in config_check.faults(path)] == ["mapping.receivers[0].status_map.P"]
    with pytest.raises(ConfigError, match=r"status_map\.P: not one of the values it can have"):
        load(path)


def test_switches_of_a_receiver_that_do_not_go_together_are_a_fault(config) -> None:
    receiver = '[[mapping.receivers]]\nname = "mercy"\nbase = "generic"\nuid = "zds"\nzsegments = "off"\n'
    path = config(GOOD + receiver)
    (fault,) = config_check.faults(path)
    assert (fault.source, fault.key) == (str(path), "mapping.receivers[0].uid")
    assert config_check.faults(config(GOOD + receiver.replace("zds", "none"))) == []


@pytest.mark.full
def test_what_is_wrong_and_what_is_missing_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("AVARA_API_KEY", raising=False)
    (tmp_path / "p.csv").write_text("procedure,code,system\nX,not-a-loinc,LOINC\n")
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[mapping]\nprocedures = "p.csv"\n[[mapping.receivers]]\nname = "r"\nbase = "rad128"\nuid = "none"\n'
    )
    keys = [error.key for error in config_check.faults(path)]
    assert {"mapping.site_key", "upstream.api_key"} < set(keys)
    assert any(key.startswith("mapping.receivers") and key.endswith("uid") for key in keys)
    assert any(key.startswith("line 2") for key in keys)
