"""Findings of `check-config` on a VistA receiver: what VistA looks up and nobody says is a mistake (D34)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.checks import config
from gateway.settings import load

SITE = """
[auth]
mode = "builtin"
[upstream]
api_key = "a-secret-api-key"
[mapping]
site_key = "0123456789abcdef0123456789abcdef"
accession_keys = ["a"]
VISTA
[[mapping.facilities]]
name = "City Medical Center"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "CITY"
"""
RECEIVER = '[[mapping.receivers]]\nname = "va"\nbase = "BASE"\n'
DESTINATION = """
[[destination]]
name = "clinic"
kind = "mllp"
host = "localhost"
port = 2575
receiver = "va"
start = 2026-03-01T00:00:00Z
facilities = ["*"]
"""
EXAM = 'vista_exam_keys = ["e"]\nvista_case_keys = ["c"]\n'
DFN = 'vista_dfn_namespace = "CITY"\n'


@pytest.fixture
def settings(tmp_path: Path):
    """Writes settings with a receiver profile from that base, these keys of `[mapping]`, and what follows."""

    def write(base: str, mapping: str = "", own: str = "", rest: str = "") -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(SITE.replace("VISTA", mapping) + RECEIVER.replace("BASE", base) + own + rest)
        return path

    return write


@pytest.mark.parametrize(
    ("base", "mapping", "missing"),
    [
        ("vista-2.3", "", ["vista_dfn_namespace", "vista_exam_keys"]),
        ("vista-2.3", DFN, ["vista_exam_keys"]),
        ("vista-2.3", EXAM, ["vista_dfn_namespace"]),
        ("vista-2.3", EXAM + DFN, []),
        ("vista-2.4", "", ["vista_ssn_namespace"]),
        ("vista-2.4", DFN, ["vista_ssn_namespace"]),
        ("vista-2.4", DFN + 'vista_station = "500"\n', []),
        ("vista-2.4", 'vista_ssn_namespace = "CITY"\n', []),
    ],
)
def test_a_destination_needs_what_vista_looks_up_and_the_service_starts_and_holds(settings, base, mapping, missing):
    path = settings(base, mapping, rest=DESTINATION + DESTINATION.replace("clinic", "other").replace("2575", "2576"))
    found = config.faults(path)
    assert [fault.key for fault in found] == [f"mapping.{one}" for one in missing]
    assert all("destination clinic knows" in fault.problem and fault.cure for fault in found)
    assert all(fault.problem.endswith("every message would be held") for fault in found)
    assert [str(one) for one in config.served_all_the_same(load(path))] == [str(one) for one in found]


def test_of_a_destination_that_is_switched_off_nothing_is_asked(settings):
    assert config.faults(settings("vista-2.3", rest=DESTINATION + "enabled = false\n")) == []


def test_of_a_profile_that_no_destination_has_it_is_a_note(settings):
    def notes(base: str, mapping: str = "") -> list[str]:
        said = config.warnings(load(settings(base, mapping)))
        return [note for note in said if note.startswith("receiver va: ")]

    assert config.faults(settings("vista-2.3")) == []
    assert len(notes("vista-2.3")) == 2
    assert notes("vista-2.3", EXAM + DFN) == []
    (exams,) = notes("vista-2.3", DFN)
    assert "knows a study by its exam, and no vista_exam_keys is set: every message will be held" in exams
    (staff,) = notes("vista-2.4", DFN + 'vista_station = "500"\n')
    assert "the providers file has none" in staff


def test_what_acknowledgements_mean_to_a_profile_is_said_and_where_a_destination_says_otherwise(settings):
    def said(own: str = "") -> tuple[str, list[str]]:
        plain = DESTINATION.replace('"va"', '"vista-2.3"')
        read = load(settings("vista-2.3", DFN + EXAM, rest=plain + own))
        notes = [note for note in config.warnings(read) if "ack_table" in note]
        return "\n".join(config.effective(read)), notes

    shown, notes = said()
    assert 'ack_table = { AE = "hold_lane", AR = "hold_lane" }' in shown
    assert notes == []
    shown, (note,) = said('ack_table = { AR = "retry" }\n')
    assert 'in place of { AE = "hold_lane", AR = "hold_lane" } of profile vista-2.3' in note
    assert 'ack_table = { AR = "retry" }' in shown


def test_a_name_in_msh_3_that_the_receiver_does_not_answer_is_a_fault(settings):
    known = DFN + 'vista_station = "500"\n'
    assert config.faults(settings("vista-2.4", known, rest=DESTINATION)) == []
    found = config.faults(settings("vista-2.4", known, 'sending_application = ""\n', DESTINATION))
    assert [fault.key for fault in found] == ["mapping.sending_application"]
