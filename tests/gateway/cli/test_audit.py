"""The commands of the audit find what was changed, and say who saw a patient's data, without naming the patient."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys

import pytest
from fakes.audited import entries
from fakes.commanded import Site
from fakes.gateway_process import environment, site_file
from fakes.printed_answers import answer_of
from fhir.resources.R4B import get_fhir_model_class

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.journal import AuditJournal
from gateway.audit.seal_key import seal_key
from gateway.audit.segment import hex_of
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.verification import machine_of
from gateway.runtime import clock
from gateway.store.database.engine import micros

PATIENT = "pat-" + "2" * 32
OTHER = "pat-" + "3" * 32


@pytest.fixture
def site(tmp_path, capsys):
    """Return commands with a database, no AutoScribe, and an audit."""
    env = environment("http://127.0.0.1:1", f"sqlite:///{tmp_path / 'gateway.db'}", site_file(tmp_path))
    env["GATEWAY_AUDIT__DIR"] = str(tmp_path / "audit")
    env["GATEWAY_AUDIT__SEAL_KEY"] = str(tmp_path / "seal.pem")
    (tmp_path / "audit").mkdir()
    return Site(None, {name: one for name, one in env.items() if os.environ.get(name) != one}, tmp_path, capsys)


async def journal_of(site, patients=(PATIENT, OTHER), *, close=True):
    journal = AuditJournal(site.folder / "audit", seal_key(site.folder / "seal.pem"))
    await journal.turn()
    for patient in patients:
        journal.append(
            AuditEntry(
                micros(clock.now()),
                "read",
                client="client-1",
                address="10.0.0.1",
                route="GET /Patient/{id}",
                status=200,
                shown=(f"Patient/{patient}",),
                patients=(patient,),
            )
        )
    if close:
        journal.close()
    return journal


async def ask(site, monkeypatch, typed, *options):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    return await site.run("audit", "who", *options)


async def test_an_untouched_journal_is_said_to_be_whole_with_the_key_that_it_was_checked_against(site):
    await journal_of(site)
    code, out, err = await site.run("audit", "verify")
    key = hex_of(seal_key(site.folder / "seal.pem").public_key())
    assert (code, out.splitlines()[0]) == (0, f"public key: {key}")
    assert out.splitlines()[-1] == "1 segment, 2 entries, 0 removed by retention, 0 faults"
    assert "give --public-key with a copy kept elsewhere" in err
    code, out, err = await site.run("audit", "verify", "--public-key", key)
    assert (code, "give --public-key" in err) == (0, False)


async def test_lines_since_the_last_seal_are_said_to_be_unprotected_against_truncation(site):
    journal = await journal_of(site, close=False)
    code, _, err = await site.run("audit", "verify")
    journal.close()
    assert code == 0
    assert "3 lines written since the last seal. Nothing protects these against truncation" in err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [rows[0], rows[1].replace(b"client-1", b"client-2"), *rows[2:]], "chain-broken"),
        (lambda rows: [rows[0], *rows[2:]], "chain-broken"),
        (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "chain-broken"),
        (lambda rows: [*rows[:2], b"added\n", *rows[2:]], "unreadable"),
        (lambda rows: rows[1:], "opening-missing"),
    ],
)
async def test_a_changed_a_removed_a_moved_and_an_added_line_are_found(site, change, said):
    await journal_of(site)
    [path] = segment_paths(site.folder / "audit")
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    code, out, _ = await site.run("audit", "verify")
    assert (code, f": {said}: " in out) == (1, True)


async def test_a_journal_written_anew_with_another_key_is_found_by_the_copy_of_the_public_key(site):
    await journal_of(site)
    key = hex_of(seal_key(site.folder / "seal.pem").public_key())
    for path in (*segment_paths(site.folder / "audit"), site.folder / "seal.pem"):
        path.unlink()
    await journal_of(site)
    assert (await site.run("audit", "verify"))[0] == 0
    code, out, _ = await site.run("audit", "verify", "--public-key", key)
    assert (code, "key-not-trusted" in out) == (1, True)


async def test_a_cut_off_end_and_a_removed_file_are_found_by_the_database(site, monkeypatch):
    await journal_of(site)
    await ask(site, monkeypatch, PATIENT)  # loads
    first = segment_paths(site.folder / "audit")[0]
    whole = first.read_bytes()
    first.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    code, out, _ = await site.run("audit", "verify")
    assert (code, "cut-off" in out) == (1, True)
    first.write_bytes(whole)
    assert (await site.run("audit", "verify"))[0] == 0
    other = first.with_name(first.name.replace("20", "19", 1))
    first.rename(other)
    code, out, _ = await site.run("audit", "verify")
    assert (code, "segment-missing" in out) == (1, True)


async def test_a_journal_whose_last_file_or_whole_folder_is_gone_is_found_by_the_database(site, monkeypatch):
    await journal_of(site)
    await ask(site, monkeypatch, PATIENT)  # loads
    [path] = segment_paths(site.folder / "audit")
    kept = path.rename(site.folder / path.name)
    code, out, _ = await site.run("audit", "verify")
    assert (code, "segment-missing" in out) == (1, True)
    shutil.rmtree(site.folder / "audit")
    code, out, _ = await site.run("audit", "verify")
    assert (code, "segment-missing" in out) == (1, True)
    machine = machine_of(segment_of(kept))
    assert (await site.run("audit", "verify", "--elsewhere", machine))[0] == 0


async def test_an_empty_folder_beside_a_database_that_cannot_be_asked_is_a_fault(site):
    seal_key(site.folder / "seal.pem")
    assert (await site.run("audit", "verify"))[0] == 0
    gone = f"sqlite:///{site.folder}/none/gateway.db"
    code, out, err = await site.run("audit", "verify", GATEWAY_DATABASE_URL=gone)
    assert (code, "no-journal" in out, "the database is not asked" in err) == (1, True, True)


@pytest.mark.parametrize("row", [b"{}\n", b"x\n"])
async def test_a_changed_tombstone_is_found(site, row):
    await journal_of(site)
    (site.folder / "audit" / "audit-tombstones.log").write_bytes(row)
    code, out, _ = await site.run("audit", "verify")
    assert (code, "tombstone-invalid" in out) == (1, True)


@pytest.mark.parametrize("key", ["", "x", "g" * 64, "A" * 64])
async def test_what_is_no_public_key_is_refused(site, key):
    code, _, err = await site.run("audit", "verify", "--public-key", key)
    assert (code, "--public-key: not the 64 hexadecimal digits" in err) == (2, True)


async def test_without_an_audit_or_its_key_the_setting_is_named(site):
    code, _, err = await site.run("audit", "verify", GATEWAY_AUDIT__DIR="")
    assert (code, "audit.dir: not set" in err) == (2, True)
    code, _, err = await site.run("audit", "verify")
    assert (code, "audit.seal_key: cannot be read" in err) == (2, True)


async def test_who_saw_a_patient_is_listed_and_the_question_itself_is_noted(site, monkeypatch):
    await journal_of(site, (PATIENT, OTHER, PATIENT))
    code, out, _ = await ask(site, monkeypatch, f"Patient/{PATIENT}\n", "--reason", "complaint 7")
    lines = out.splitlines()
    assert (code, len(lines), lines[-1]) == (0, 3, "1 patient")
    assert f"Patient/{PATIENT}  client-1 from 10.0.0.1  GET /Patient/{{id}}  200" in lines[0]
    asked = entries(site.folder / "audit")[-1]
    assert (asked.kind, asked.route, asked.patients, asked.why) == ("act", "audit who", (PATIENT,), "complaint 7")
    code, out, _ = await ask(site, monkeypatch, PATIENT, "--to", "2020-01-01")
    assert (code, out) == (0, "1 patient\n")
    for more in ((), ("--json",)):
        monkeypatch.setattr("sys.stdin", io.StringIO(PATIENT))
        await answer_of(site, "cli.audit_answers.who", "audit", "who", *more)


async def test_who_as_json_gives_audit_events(site, monkeypatch):
    await journal_of(site)
    code, out, _ = await ask(site, monkeypatch, PATIENT, "--json")
    [event] = map(json.loads, out.splitlines())
    get_fhir_model_class("AuditEvent").model_validate(event)
    assert code == 0


async def test_a_number_that_no_patient_has_finds_nothing_and_is_not_kept(site, monkeypatch):
    await journal_of(site)
    code, out, err = await ask(site, monkeypatch, "CANARY")
    assert (code, out, "CANARY" in err) == (1, "0 patients\n", False)
    assert b"CANARY" not in b"".join(one.read_bytes() for one in (site.folder / "audit").iterdir())


async def test_an_export_has_every_event_of_its_span_once_one_a_line(site, monkeypatch):
    from gateway.fhir_api.audit import disclosures

    monkeypatch.setattr(disclosures, "_PAGE", 2)
    await journal_of(site, (PATIENT,) * 5)
    code, out, _ = await site.run("audit", "export", "--from", "2020-01-01")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [one["type"]["code"] for one in events] == ["110100", *["rest"] * 5]
    assert len({one["id"] for one in events}) == 6
    for one in events:
        get_fhir_model_class("AuditEvent").model_validate(one)
    assert (await site.run("audit", "export", "--to", "2020-01-01"))[:2] == (0, "")
