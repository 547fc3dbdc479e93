"""A command that changes something or shows data of patients is in the audit before it does anything."""

from __future__ import annotations

import os

import pytest
from fakes.audited import entries
from fakes.commanded import Site
from fakes.gateway_process import environment, site_file
from fakes.scripted_server import Reply, ScriptedServer

from gateway.audit.seal_key import read_seal_key
from gateway.audit.segment import hex_of
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.verification import verify_segment
from gateway.store.database.facts import actor

REPORT = "rep_" + "1" * 32
PATIENT = "pat-" + "2" * 32
STUDY = "stu_" + "3" * 32


@pytest.fixture
async def site(tmp_path, capsys):
    """Yield commands with a database, an AutoScribe that refuses the key, and an audit."""
    async with ScriptedServer([Reply(401)]) as autoscribe:
        yield site_of(autoscribe.url, tmp_path, capsys)


def site_of(upstream, tmp_path, capsys):
    env = environment(upstream, f"sqlite:///{tmp_path / 'gateway.db'}", site_file(tmp_path))
    env["GATEWAY_AUDIT__DIR"] = str(tmp_path / "audit")
    env["GATEWAY_AUDIT__SEAL_KEY"] = str(tmp_path / "seal.pem")
    return Site(None, {name: one for name, one in env.items() if os.environ.get(name) != one}, tmp_path, capsys)


async def noted(site, *command):
    """Run a command; return its entries as kind, command, addresses, status and code."""
    before = len(entries(site.folder / "audit"))
    await site.run(*command)
    return entries(site.folder / "audit")[before:]


async def test_an_act_names_the_operator_the_command_the_reason_and_the_ids(site):
    [entry, failed] = await noted(site, "identity", "link", PATIENT, STUDY, "--reason", "seen on the film")
    assert (entry.kind, entry.route, entry.why) == ("act", "identity link", "seen on the film")
    assert (entry.user, entry.host) == tuple(actor())
    assert entry.shown == (f"Patient/{PATIENT}", "ImagingStudy/stu-" + "3" * 32)
    assert entry.patients == (PATIENT,)
    assert (entry.status, failed.status, failed.code) == (0, 400, "config")
    assert entry.request == failed.request


@pytest.mark.parametrize(
    ("command", "route"),
    [
        (("explain", REPORT), "explain"),
        (("migrate",), "migrate"),
        (("rerender",), "rerender"),
        (("sync",), "sync"),
        (("clients", "disable", "client-1", "--reason", "x"), "clients disable"),
        (("clients", "enable", "client-1"), "clients enable"),
        (("clients", "rotate", "client-1", "--finish"), "clients rotate"),
        (("identity", "separate", PATIENT, STUDY, "--reason", "x"), "identity separate"),
        (("feed", "show", REPORT), "feed show"),
        (("feed", "pause", "epic", "--reason", "x"), "feed pause"),
        (("feed", "resume", "epic"), "feed resume"),
        (("feed", "resume", "epic", "--held", "refused"), "feed resume"),
        (("feed", "resume", "epic", "--study", STUDY), "feed resume"),
        (("feed", "resume", "epic", "--study", STUDY, "--leave", "--reason", "x"), "feed resume"),
        (("feed", "resume", "--restored"), "feed resume"),
        (("feed", "replay", "epic", "--report", REPORT), "feed replay"),
        (("feed", "replay", "epic", "--report", REPORT, "--as-sent"), "feed replay"),
        (("feed", "backload", "epic", "--from", "2020-01-01", "--to", "2021-01-01"), "feed backload"),
        (("feed", "retire", "epic", "--reason", "x"), "feed retire"),
        (("feed", "apply", "epic"), "feed apply"),
        (("feed", "ack", "critical-overdue"), "feed ack"),
        (("patients", "erase", "--study", STUDY, "--reason", "x"), "patients erase"),
        (("patients", "readmit", STUDY, "--reason", "x"), "patients readmit"),
    ],
)
async def test_each_command_that_acts_or_shows_data_is_noted(site, command, route):
    found = await noted(site, *command)
    assert {(one.kind, one.route) for one in found} == {("act", route)}


async def test_what_an_operator_types_that_is_no_id_of_the_gateway_is_not_noted(site):
    await noted(site, "feed", "show", "CANARY")
    await noted(site, "explain", "CANARY")
    assert b"CANARY" not in b"".join(one.read_bytes() for one in (site.folder / "audit").iterdir())


async def test_a_command_that_cannot_be_noted_is_not_carried_out(site):
    (site.folder / "audit").write_text("no folder")
    code, out, _ = await site.run("migrate")
    assert (code, out, site.database.exists()) == (2, "", False)


async def test_without_an_audit_in_the_settings_commands_run_and_note_nothing(site):
    code, out, _ = await site.run("migrate", GATEWAY_AUDIT__DIR="")
    assert (code, out.startswith("the database is at")) == (0, True)
    assert not (site.folder / "audit").exists()


async def test_the_segment_of_commands_is_sealed_with_the_key_that_keys_seal_prints(site):
    code, out, _ = await site.run("keys", "seal")
    key = hex_of(read_seal_key(site.folder / "seal.pem").public_key())
    assert (code, out.strip()) == (0, key)
    for _ in range(2):
        await noted(site, "migrate")
    [path] = segment_paths(site.folder / "audit")
    finding = verify_segment(path.read_bytes().splitlines(keepends=True), {key}, segment_of(path))
    assert (finding.faults, finding.unsealed, finding.head.entries) == ([], 0, 2)
