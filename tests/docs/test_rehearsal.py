"""docs/runbooks.md, Rehearse a withdrawal: its settings are good, and its tables say what leaves (decision D21)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.commanded import Site, sites
from fakes.feed_site import FeedSite
from fakes.taken_in import current

from gateway.checks import config
from gateway.sandbox.inbox import ReceivedMessage
from gateway.sandbox.receiver import MllpReceiver
from mappings.hl7v2.received import read
from mappings.patient.identifiers import fhir_id

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "runbooks.md").read_text("utf-8")
[TABLES] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^autoscribe-gateway sandbox (sign|cancel|uncancel)", TEXT, re.MULTILINE)
ROW = re.compile(r"^\| `(sign|cancel|uncancel)` \| (.*) \|$", re.MULTILINE)
SENT, SHOWN = (dict(ROW.findall(part)) for part in TEXT.split("In FHIR ("))


def cells(rows: dict[str, str], step: str) -> list[str]:
    return rows[step].split(" | ")


def test_its_settings_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_MAPPING__SITE_KEY", "k" * 32)
    path = tmp_path / "rehearsal.toml"
    path.write_text((DOCS / "sandbox.toml").read_text("utf-8") + TABLES)
    assert config.faults(path) == []


def said(messages: Sequence[ReceivedMessage]) -> str:
    """Say what came, in the words of the document's table."""
    if not messages:
        return "nothing"
    [message] = messages
    segments = read(message.payload).segments
    [status] = {one.field(25) for one in segments if one.name == "OBR"}
    [lines] = {one.field(11) for one in segments if one.name == "OBX"}
    is_void = any(one.name == "OBX" and one.field(5).startswith("VOID") for one in segments)
    return f"OBR-25 `{status}`, OBX-11 `{lines}`" + (", a line that begins with `VOID`" if is_void else "")


async def stands(here: Site, report_id: str) -> tuple[str, bool]:
    """The status of the report in FHIR, and whether an issue says that its study is cancelled."""
    async with here.store() as engine:
        report = (await current(engine, "DiagnosticReport"))[f"DiagnosticReport/{fhir_id(report_id)}"]
    issues = await here.query("SELECT 1 FROM issue WHERE code = 'cancelled-after-sign' AND severity = 'warning'")
    return report["status"], bool(issues)


@pytest.mark.full
@pytest.mark.parametrize("policy", ["hold", "withdraw"])
async def test_what_leaves_is_what_its_tables_say(policy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fakes.commanded.STUDIES", 0)
    with sites(tmp_path, capsys) as opened:
        async with opened() as here, MllpReceiver(port=0) as plain, MllpReceiver(port=0) as void:
            site = FeedSite(here, plain)
            site.settings(TABLES.replace("2575", str(plain.port)).replace("2576", str(void.port)))
            here.env["GATEWAY_MAPPING__ON_CANCELLED_AFTER_SIGN"] = policy
            port, study_id = here.env["AVARA_BASE_URL"].rpartition(":")[2], ""
            assert COMMANDS == ["sign", "cancel", "uncancel"]
            for step in COMMANDS:
                seen = len(plain.messages), len(void.messages)
                code, out, err = await here.run("sandbox", step, *[study_id] * bool(study_id), "--port", port)
                assert code == 0, err
                if step == "sign":
                    report_id, study_id = re.findall(r"rep_\w+|stu_\w+", out)
                await site.sync()
                await site.served()
                came = said([*plain.messages][seen[0] :]), said([*void.messages][seen[1] :])
                held, withdrawn, voided = cells(SENT, step)
                assert came == ((held, held) if policy == "hold" else (withdrawn, voided))
                shown, is_cancelled = await stands(here, report_id)
                assert f"`{shown}`" == cells(SHOWN, step)[policy == "withdraw"]
                assert is_cancelled is (step == "cancel")
