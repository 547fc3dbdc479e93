"""`check-config`: each mistake with its file, key and remedy; else what is in force, secrets masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import config_check
from gateway.settings import load

GOOD = """
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
        ("given_family", "western", "mapping.facilities[0].name_order", "given_family, family_given, marked_only"),
        ("urn:oid:1.2.3", "not a uri", "mapping.facilities[0].mrn_system", "urn:oid:"),
        ('mrn_namespace = "CITY"\n', "", "mapping.facilities[0].mrn_namespace", "assigning authority"),
        ("name_order", "nameorder", "mapping.facilities[0].nameorder", "name_order"),
        ("0123456789abcdef0123456789abcdef", "short", "mapping.site_key", "keys site"),
        ('api_key = "a-secret-api-key"\n', "", "upstream.api_key", "AVARA_API_KEY"),
        ('site_key = "0123456789abcdef0123456789abcdef"\n', "", "mapping.site_key", "keys site"),
        ("[upstream]", '[server]\nhost = "0.0.0.0"\n[upstream]', "server.host", "127.0.0.1"),
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
    shown = "\n".join(config_check.effective(load(config(GOOD))))
    assert "server.port = 8800" in shown
    assert "upstream.api_key = **********" in shown
    assert "secret-api-key" not in shown and "0123456789abcdef" not in shown
    assert (
        "facility City Medical Center: aliases City Med; time zone America/New_York; name order given_family" in shown
    )


def test_what_a_facility_leaves_unsaid_is_noted(config) -> None:
    notes = list(config_check.doubts(load(config(GOOD))))
    assert len(notes) == 3 and all(note.startswith("facility Lakeside: no ") for note in notes)
    assert "no [[mapping.facilities]]" in next(iter(config_check.doubts(load(config("")))))
