"""`feed show`: shows messages and answers; logs none of their content, and records each use in the audit (D39).

HL7 v2.5.1 §2.15.8 (MSA), §2.15.5 (ERR).
"""

from __future__ import annotations

import io
import json
import re
import sys
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from fakes.feed_site import destination
from fakes.store import resource_of, rows

from gateway.feed.operator.show import (
    MessageHistory,
    ReplacedMessage,
    ShownAnswer,
    ShownAttempt,
    ShownText,
    connection,
    message_lines,
    short,
)
from gateway.store.database.engine import Statement, ask
from mappings.patient.identifiers import fhir_id

AUDIT = "SELECT verb, argument, reason FROM audit WHERE verb = 'feed-show' ORDER BY number"


async def shown(here, *arguments):
    code, out, err = await here.feed("show", *arguments, "--json")
    assert "OBX" not in err
    return code, json.loads("\n".join(out))["messages"]


async def one_message(here, where="state = 'delivered'"):
    sql = f"SELECT control_id, report_id, study_id, patient_id FROM message WHERE {where} ORDER BY number LIMIT 1"
    [found] = await here.query(sql)
    return found


async def test_a_message_is_shown_as_it_was_sent_with_its_answer(site):
    async with site() as here:
        await here.sync()
        await here.served()
        control_id, report_id, study_id, _ = await one_message(here)
        code, [message] = await shown(here, control_id)
        received = next(m for m in here.receiver.messages if m.control_id == control_id)
        assert (code, message["destination"], message["reportId"], message["studyId"]) == (
            0,
            "ehr",
            report_id,
            study_id,
        )
        assert b64decode(message["message"]["bytes"]) == received.payload
        assert message["sha256"] == sha256(received.payload).hexdigest()
        assert message["message"]["segments"][0].startswith("MSH|^~\\&|")
        [attempt] = message["attempts"]
        assert (attempt["attempt"], attempt["state"], attempt["ack"]) == (1, "delivered", "AA")
        assert attempt["connection"] == {"peer": f"127.0.0.1:{here.receiver.port}", "connection": 1, "of": 1}
        assert (attempt["answer"]["code"], attempt["answer"]["controlId"]) == ("AA", control_id)
        assert message["made"] <= message["sent"] <= attempt["begun"] or message["sent"] <= attempt["ended"]


async def test_a_refusal_is_shown_with_the_place_and_the_words_of_its_err(site):
    async with site("ae:1") as here:
        await here.sync()
        await here.served()
        control_id, *_ = await one_message(here, "ack = 'AE'")
        _, [message] = await shown(here, control_id)
        [attempt] = message["attempts"]
        raw = b64decode(attempt["answer"]["bytes"])
        assert b"\rERR|" in raw
        [error] = attempt["answer"]["errors"]
        assert (attempt["ack"], error["code"]) == ("AE", "101")
        code, out, _ = await here.feed("show", control_id)
        text = "\n".join(out)
        assert code == 0
        assert f"ehr  {control_id}  held ({message['reason']}), AE" in text
        assert "    < MSA|AE|" in text
        assert "    error 101" in text
        assert "\r" not in text


@pytest.mark.parametrize("form", ["rep_", "rep-"])
async def test_a_report_a_study_and_an_accession_number_lead_to_their_messages(site, form):
    async with site() as here:
        await here.sync()
        await here.served()
        control_id, report_id, study_id, _ = await one_message(here)
        named = report_id if form == "rep_" else fhir_id(report_id)
        assert control_id in [one["controlId"] for one in (await shown(here, named))[1]]
        assert control_id in [one["controlId"] for one in (await shown(here, study_id))[1]]


async def test_an_accession_number_is_found_and_is_not_noted_itself(site):
    async with site() as here:
        file = here.folder / "gateway.toml"
        file.write_text(file.read_text().replace("[mapping]", '[mapping]\naccession_keys = ["accession"]', 1))
        for number, study in enumerate(here.here.account.studies.values()):
            study["metadata"] = {"accession": f"ACC-{number}"}
        await here.sync()
        await here.served()
        _, _, study_id, _ = await one_message(here)
        number = here.here.account.studies[study_id]["metadata"]["accession"]
        code, found = await shown(here, number)
        assert (code, {one["studyId"] for one in found}) == (0, {study_id})
        assert await here.query(AUDIT) == [("feed-show", f"{study_id} by accession", "")]
        assert number not in str(await here.query("SELECT * FROM audit"))


async def test_the_number_of_a_patient_comes_from_standard_input_alone(site, monkeypatch):
    async with site() as here:
        await here.sync()
        await here.served()
        *_, patient_id = await one_message(here)
        [row] = await here.query(
            "SELECT v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
            " AND v.version = r.version"
            f" WHERE r.address = 'Patient/{patient_id}'"
        )
        mrn = next(one["value"] for one in resource_of(*row)["identifier"] if one["type"]["coding"][0]["code"] == "MR")
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{mrn}\n\n"))
        code, found = await shown(here, "--patient", "-", "--reason", "asked for by the ward")
        assert (code, {one["patientId"] for one in found}) == (0, {patient_id})
        audit = await here.query(AUDIT)
        assert {(verb, reason) for verb, _, reason in audit} == {("feed-show", "asked for by the ward")}
        assert all(argument.endswith(" by patient") for _, argument, _ in audit)
        assert mrn not in str(audit)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((), "--patient: nothing is chosen"),
        (("ID1", "--patient", "-"), "--patient: more than one thing is chosen"),
        (("--patient", "00042"), "--patient: a number here is kept by the shell"),
        (("--patient", "-"), "--patient: no number came"),
        (("ID1", "--at", "his"), "his: no destination has this name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_what_cannot_be_asked_is_refused_with_what_to_write_and_exits_2(site, monkeypatch, command, said):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    async with site() as here:
        code, out, err = await here.feed("show", *command)
        assert (code, out) == (2, [])
        assert said in err
        assert "00042" not in err


async def test_what_is_not_there_exits_1_and_was_asked_for_all_the_same(site):
    async with site() as here:
        code, out, _ = await here.feed("show", "NOBODYS")
        assert (code, out) == (1, ["0 messages"])
        assert await here.query(AUDIT) == [("feed-show", "nothing by accession", "")]


@pytest.mark.parametrize("command", [("feed", "show"), ("explain",)], ids=" ".join)
async def test_where_it_cannot_be_noted_nothing_is_shown(site, command):
    async with site() as here:
        await here.sync()
        await here.served()
        _, report_id, *_ = await one_message(here)
        async with here.here.store() as engine:
            await engine.do(lambda: ask(Statement("ALTER TABLE audit RENAME TO gone")))
        code, out, err = await here.here.run(*command, report_id)
        assert (code, out, "OBX" in err) == (1, "", False)


async def test_what_was_corrected_is_shown_beside_what_it_replaced(site):
    async with site() as here:
        await here.sync()
        await here.served()
        first, _, study_id, _ = await one_message(here)
        assert (await here.feed("replay", "ehr", "--study", study_id, "--yes"))[0] == 0
        await here.served()
        found = (await shown(here, study_id, "--at", "ehr"))[1]
        again = found[-1]
        assert (again["cause"], again["replaced"]["controlId"]) == ("replay", first)
        places = {re.sub(r"\[\d+\]", "", one["place"]) for one in again["replaced"]["changed"]}
        assert places == {"OBR-22", "OBR-25", "OBX-11"}
        text = "\n".join((await here.feed("show", again["controlId"]))[1])
        assert f"  replaced  {first}, sent 20" in text
        assert "    OBR-25\n      was  F\n      now  C\n    OBX-11 of " in text


async def test_of_a_destination_that_is_gone_from_the_settings_what_it_was_sent_is_shown(site):
    async with site() as here:
        await here.sync()
        await here.served()
        control_id, *_ = await one_message(here)
        here.settings(destination(here.receiver.port, "other"))
        file = here.folder / "gateway.toml"
        file.write_text(file.read_text().replace('name = "ehr"', 'name = "new"'))
        code, [message] = await shown(here, control_id)
        assert (code, message["destination"]) == (0, "ehr")
        assert (await shown(here, control_id, "--at", "ehr"))[0] == 0


async def test_once_the_text_is_let_go_of_the_ledger_alone_is_shown(site):
    async with site() as here:
        await here.sync()
        await here.served()
        control_id, *_ = await one_message(here)
        async with here.here.store() as engine:
            for sql in ("DELETE FROM message_body", "DELETE FROM attempt", "UPDATE message SET has_body = 0"):
                await engine.do(lambda sql=sql: ask(Statement(sql)))
        _, [message] = await shown(here, control_id)
        assert (message["message"], message["attempts"], message["state"]) == (None, [], "delivered")
        assert "deleted after feed.retention_days" in "\n".join((await here.feed("show", control_id))[1])


async def test_nothing_that_is_shown_stands_in_the_log_or_the_audit(site):
    async with site("ae:1") as here:
        await here.sync()
        await here.served()
        _, _, study_id, _ = await one_message(here)
        code, out, err = await here.feed("show", study_id)
        assert (code, "OBX" in err) == (0, False)
        async with here.here.store() as engine:
            audit = str(await rows(engine, "SELECT * FROM audit"))
        assert "OBX" in "\n".join(out)
        assert "OBX" not in audit


def test_a_long_value_is_cut_for_a_screen_and_says_where_the_rest_is():
    assert short("x" * 400) == "x" * 400
    assert short("x" * 401).endswith("… (1 more characters: --json has them)")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({}, "over a connection of which nothing is known"),
        ({"to": "mllp ehr:2575", "connection": 1, "of": 2}, "to mllp ehr:2575, connection 1 of 2"),
        (
            {"peer": "10.0.0.1:2575", "tls": "TLSv1.3", "subject": "ehr.example", "sha256": "ab"},
            "with 10.0.0.1:2575, TLSv1.3, certificate of ehr.example, sha256 ab",
        ),
        (
            {"peer": "10.0.0.1:40001", "by": "receiver", "when": "late"},
            "came later, over a connection that the receiver opened, with 10.0.0.1:40001",
        ),
    ],
    ids=str,
)
def test_a_connection_is_told_in_words(said, text):
    assert connection(said) == text


AT = datetime(2026, 1, 5, tzinfo=UTC)


def message(**more):
    ids = "ehr", "ID2", "stu_1", "rep_1", ("rep_1",), "pat-1", ("F1",), "signed", "delivered", "", "AA"
    others = {"replaced": None, "in_place_of": (), "superseded_by": None, "attempts": ()}
    usual = MessageHistory(*ids, *([AT] * 5), size=3, sha256="", **others, message=ShownText(b"", ["MSH|"]))
    return replace(usual, **more)


def attempt(answer=None):
    return ShownAttempt(1, None, AT + timedelta(seconds=1), {}, "indeterminate", "ack-timeout", "", answer)


def test_what_took_whose_place_is_said():
    text = "\n".join(message_lines(message(in_place_of=("ID1",), superseded_by="ID3")))
    assert "  supersedes ID1, which was not sent" in text
    assert "  superseded by ID3" in text


def test_an_attempt_that_nothing_answered_and_one_that_got_no_acknowledgement_say_so():
    odd = ShownAnswer(ShownText(b"", ["HTTP 500"]), {"unreadable": "no-msh"})
    text = "\n".join(message_lines(message(attempts=(attempt(), attempt(odd)))))
    assert "ended" not in text
    assert "2026-01-05T00:00:01.000000Z: indeterminate, ack-timeout" in text
    assert "    nothing came back" in text
    assert "    < HTTP 500\n    no acknowledgement: no-msh" in text


def test_of_what_it_replaced_an_unknown_difference_is_called_that():
    replaced = ReplacedMessage("ID1", AT, None)
    assert "the difference is not known" in "\n".join(message_lines(message(replaced=replaced)))
