"""Every reason for which a report is held names its object and the next command (issue N §2)."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from fakes.fed import fed, site
from fakes.store import rows

from gateway.cli import main
from gateway.feed.alerts.conditions import ROWS, next_step
from gateway.feed.holding import HELD, facilities_of, held_step
from gateway.feed.operator.status import status
from gateway.store.feed import states

ROOT = Path(__file__).parents[3]
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text("utf-8")
COMMANDS = typer.main.get_command(main.app)


def reasons_of_the_mapping() -> set[str]:
    """Return the codes of all errors for which HL7 v2 holds a report, as they stand in the code."""
    found = set()
    for path in (ROOT / "mappings/hl7v2").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MappingIssue" and len(node.args) > 1:
                code, severity = node.args[:2]
                if isinstance(code, ast.Constant) and isinstance(severity, ast.Constant) and severity.value == "error":
                    found.add(code.value)
    return found


def reasons_of_the_runbook() -> set[str]:
    """Return the reasons in the table of *A study that is held*."""
    section = RUNBOOKS.partition("## A study that is held")[2].partition("\n## ")[0]
    return {code for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for code in re.findall("`(.*?)`", row)}


def is_command(step: str) -> bool:
    """True if the command line knows the command with each of its options, and nothing is left to fill in."""
    words = shlex.split(step)
    command = COMMANDS
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    options = {name for one in command.params for name in one.opts}
    return not hasattr(command, "commands") and {one for one in words if one.startswith("--")} <= options


@pytest.mark.parametrize("reason", sorted(reasons_of_the_mapping() | reasons_of_the_runbook() | set(HELD)))
def test_every_reason_for_holding_has_a_next_command_that_the_gateway_knows(reason):
    assert reason in HELD
    step = held_step(reason, "ehr", "stu_1", "MSG1")
    assert is_command(step) and "{" not in step


def test_reasons_that_only_the_store_decides_are_in_the_table_too():
    constants = {value for name, value in vars(states).items() if isinstance(value, str) and name.isupper()}
    news_or_end = {states.WITHOUT_ORDER, states.CANCELLED_AFTER, states.WRONG_VISIT, states.UNSENT}
    no_hold = {
        *news_or_end,
        states.MOVED,
        states.SEEN_THERE,
        states.ERASED,
        states.HOLD_FEED,
        states.APPLICATION_FOR_NOW,
    }
    assert constants - no_hold <= set(HELD)
    assert {*states.NUMBER_MISSING, *states.VISTA_UNKNOWN, *states.BLOCKED_AT_ONCE} <= set(HELD)


@pytest.mark.parametrize("code", ROWS)
def test_every_alert_has_a_next_command_that_the_gateway_knows(code):
    assert is_command(next_step(code, "ehr", "stu_1"))


def test_a_broken_rule_of_a_receiver_is_looked_at():
    assert held_step("rule-obx-11-w", "ehr", "stu_1") == "feed show stu_1 --at ehr"


async def test_a_report_without_an_authority_names_its_facility_and_what_to_complete(engine):
    unknown = site()
    nobody = type(unknown)(site_key=unknown.site_key)
    async with fed(engine) as (feed, _):
        feed.restart(nobody)
        signed = await feed.sign()
        async with feed.serving():
            await feed.until()
        assert {reason for (reason,) in await rows(engine, "SELECT reason FROM outbox")} == {"authority-unknown"}
        facility = (await facilities_of(engine, {signed.study_id}))[signed.study_id]
        assert facility.startswith('"') and len(facility) > 3
        assert await facilities_of(engine, set()) == {}


async def test_the_status_names_the_message_that_was_refused_and_the_answer_of_the_receiver(engine, site_with):
    async with fed(engine, "ae") as (feed, _):
        signed = await feed.sign()
        async with feed.serving():
            await feed.until("held")
        [(control_id,)] = await rows(engine, "SELECT control_id FROM message")
        [held] = (await status(engine, site_with)).destinations[0].queue.lanes
        assert held.study_id == signed.study_id
        assert held.about.startswith(f"message {control_id} AE")
        assert held.step == f"feed show {control_id} --at ehr"


@pytest.fixture
def site_with(tmp_path, monkeypatch):
    """Return the configuration of a site with the destination `ehr`."""
    from gateway.settings import load

    path = tmp_path / "gateway.toml"
    path.write_text(
        '[[destination]]\nname = "ehr"\nkind = "mllp"\nhost = "127.0.0.1"\nport = 1\nreceiver = "generic"\n'
        'start = 2020-01-01T00:00:00Z\nfacilities = ["*"]\n'
    )
    return load(path)
