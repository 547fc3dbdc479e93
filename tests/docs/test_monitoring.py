"""docs/monitoring: rules for Prometheus that Debian's promtool accepts, and a dashboard of metrics that exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from generators.monitoring import OTHER_RUNBOOK, dashboard, named_metrics

from gateway.feed.alerts.conditions import ROWS
from gateway.runtime.metrics import METRICS, PREFIX

FOLDER = Path(__file__).parents[2] / "docs/monitoring"
RULES = (FOLDER / "alerts.yml").read_text("utf-8")
KNOWN = {f"{PREFIX}{one.name}" for one in METRICS}


def test_promtool_accepts_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing: install Debian's package prometheus")
        pytest.skip("promtool is missing (Debian's package prometheus)")
    checked = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", FOLDER / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("code", ROWS)
def test_every_alert_has_a_rule_with_its_severity_runbook_and_next_command(code: str) -> None:
    [rule] = [part for part in RULES.split("      - alert: ") if f'code=\\"{code}\\"' in part]
    assert f"severity: {'page' if ROWS[code].is_urgent else 'ticket'}" in rule
    assert f'docs/runbooks.md#{code}"' in rule
    assert 'next: "autoscribe-gateway ' in rule


def test_the_rules_and_the_dashboard_name_only_metrics_that_exist() -> None:
    text = (FOLDER / "dashboard.json").read_text("utf-8")
    for named in (named_metrics(RULES), named_metrics(text)):
        assert named and named <= KNOWN


def test_the_dashboard_shows_each_gauge_of_the_feed_and_of_certificates_and_is_as_it_is_generated() -> None:
    text = (FOLDER / "dashboard.json").read_text("utf-8")
    assert text == dashboard() + "\n", "make docs writes it anew"
    wanted = {one for one in KNOWN if re.search("_feed_(queue|oldest|held|dead|last_ack)|certificate_days", one)}
    assert len(wanted) == 6 and wanted <= named_metrics(text)
    assert all(panel["targets"] for panel in json.loads(text)["panels"])


def test_what_the_gateway_cannot_say_itself_leads_to_a_runbook() -> None:
    runbooks = (FOLDER.parent / "runbooks.md").read_text("utf-8")
    assert "## A heartbeat is missing" in runbooks and OTHER_RUNBOOK == "a-heartbeat-is-missing"
