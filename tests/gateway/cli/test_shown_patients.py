"""Commands that show data of a patient name the patient in the audit; `audit who` lists them and the deliveries."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from fakes.audited import entries
from fakes.operated_site import operated_site
from fhir.resources.R4B import get_fhir_model_class

from gateway.cli import main


@pytest.fixture(scope="module")
def operated(tmp_path_factory):
    with operated_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def run(operated, tmp_path, monkeypatch, capsys):
    """Return a function that runs a command on a copy of the site, and returns its exit code and output."""
    for name, value in operated.copied(tmp_path).items():
        monkeypatch.setenv(name, value)
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level

    def ran(*arguments, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as ended:
            main.main(list(arguments))
        return ended.value.code, capsys.readouterr().out

    yield ran
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize("command", ["explain", "feed show"])
def test_what_was_shown_of_which_patient_is_found_by_the_number_of_the_patient(run, operated, tmp_path, command):
    names = operated.names
    assert run(*command.split(), names["report"], "--reason", "complaint 7")[0] == 0
    shown = entries(tmp_path / "audit")[-1]
    address = f"DiagnosticReport/{names['report'].replace('_', '-')}"
    assert (shown.route, address in shown.shown, len(shown.patients)) == (command, True, 1)
    code, out = run("audit", "who", typed=f"{names['mrn']}\n")
    lines = out.splitlines()
    assert code == 0
    assert [line for line in lines if f"Patient/{shown.patients[0]}" in line and f"  {command}  complaint 7" in line]
    assert [line for line in lines if f"sent to city-epic as {names['control_id']}  delivered" in line]
    assert lines[-1] == "1 patient"
    _, out = run("audit", "who", "--json", typed=f"{names['mrn']}\n")
    events = list(map(json.loads, out.splitlines()))
    assert {one["type"]["code"] for one in events} == {"110100", "110106"}
    for one in events:
        get_fhir_model_class("AuditEvent").model_validate(one)


def test_a_search_by_the_number_of_a_patient_names_the_patient_and_not_the_number(run, operated, tmp_path):
    number = operated.names["mrn"]
    assert run("feed", "show", "--patient", "-", typed=f"{number}\n")[0] == 0
    assert entries(tmp_path / "audit")[-1].patients
    assert number.encode() not in b"".join(one.read_bytes() for one in (tmp_path / "audit").iterdir())
