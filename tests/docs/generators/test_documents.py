"""The generated tables say all there is, so that the documents cannot leave anything out."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from generators import documents

from gateway.fhir_api.http.query import RESULT_PARAMETERS
from gateway.fhir_api.served import OPERATIONS, RESOURCES
from gateway.index.parameter_lookup import EVERY, PARAMETERS
from gateway.runtime.metrics import METRICS, PREFIX
from gateway.sandbox.faults import BEHAVIOURS
from gateway.sandbox.switches import Switches
from gateway.settings import rows
from mappings.hl7v2.report_text import NOT_SIGNED, WITHDRAWN
from mappings.profile import RECEIVERS, receiver, switches
from mappings.study.conclusion import ABSENT

ROOT = Path(__file__).parents[3]


def test_a_cell_holds_its_pipes_and_line_breaks_without_breaking_the_table() -> None:
    assert documents.table(("a", "b"), [("x|y", "1\n2")]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |"


def test_every_command_stands_in_the_table_with_its_options_and_what_it_does() -> None:
    table = documents.command_table()
    commands = (
        *("demo [--once]", "convert --to …", "serve", "sandbox", "listen", "check-config", "keys site", "version"),
        *("sync", "rerender", "migrate", "identity list", "identity link PATIENT STUDY --reason …"),
        "identity separate PATIENT STUDY --reason …",
    )
    assert [name for name in commands if f"| `{name}" not in table] == []
    assert "|  |" not in table


def test_every_setting_fault_switch_and_route_stands_in_its_table() -> None:
    settings = documents.settings_table() + documents.settings_table(experts=True)
    assert [row.key for row in rows() if f"`{row.key}`" not in settings] == []
    assert [name for name in BEHAVIOURS if f"`{name}`" not in documents.fault_table()] == []
    assert [switch.name for switch in fields(Switches) if f"`{switch.name}`" not in documents.switch_table()] == []
    facade = documents.facade_table()
    assert [row.resource_type for row in RESOURCES if f"GET /fhir/{row.resource_type}/" not in facade] == []
    assert [row.name for row in OPERATIONS if f"/${row.name}`" not in facade] == []


def test_every_search_parameter_stands_in_its_table_once_for_each_type_that_has_it() -> None:
    lines = documents.search_table().splitlines()[2:]
    shown = [tuple(cell.strip() for cell in line.strip("|").split(" | ")[:3]) for line in lines]
    assert shown == [(one.resource_type, f"`{one.name}`", one.type) for one in PARAMETERS if one.name not in EVERY]
    table = documents.result_parameter_table()
    assert [name for name in RESULT_PARAMETERS if f"| `{name}` |" not in table] == []


def test_every_metric_stands_in_its_table() -> None:
    table = documents.metric_table()
    assert [one.name for one in METRICS if f"{PREFIX}{one.name}" not in table] == []
    assert [one.meaning for one in METRICS if one.meaning not in table] == []


def test_the_documents_show_every_table_of_the_facade() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md"))
    for name in ("facade_table", "search_table", "result_parameter_table", "metric_table", "settings_table"):
        assert f"cog.outl({name}())" in text


def test_every_switch_profile_and_rule_of_receivers_stands_in_its_table() -> None:
    assert [name for name in switches() if f"| `{name}` |" not in documents.receiver_switch_table()] == []
    pkb = '| `pkb` | from documents: dev.patientsknowbest.com | `status_map = { W = "void" }` |'
    assert pkb in documents.receiver_table()
    assert f"| `generic` | {receiver('generic').proof} | the defaults |" in documents.receiver_table()
    for name in RECEIVERS:
        table = documents.rule_table(name)
        assert f"| `{name}` |" in documents.receiver_table()
        assert [rule.name for rule in receiver(name).rules if f"| `{rule.name}` | {rule.level} |" not in table] == []


def test_the_document_about_receivers_has_the_rules_of_every_profile() -> None:
    text = (ROOT / "docs" / "reference" / "receivers.md").read_text("utf-8")
    assert [name for name in RECEIVERS if f"### {name}\n\n{documents.rule_table(name)}" not in text] == []


def test_every_line_that_the_gateway_adds_to_a_report_stands_in_the_conformance_statement() -> None:
    statement = (ROOT / "docs/hl7-conformance-statement.md").read_text()
    assert [line for line in (ABSENT, NOT_SIGNED, WITHDRAWN) if f"| `{line}` |" not in statement] == []
