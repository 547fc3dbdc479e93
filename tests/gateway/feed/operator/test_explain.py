"""`explain`: value, rule, JSON pointer and setting of a field, and its value in each version sent (D6, D39)."""

from __future__ import annotations

import json

import pytest

from gateway.feed.operator.explain import Explanation, SentVersion, SentVersions, every_field, one_field, sent_lines
from gateway.feed.operator.field_sources import FieldExplanation
from gateway.store.database.engine import Statement, ask, instant
from mappings.issues import MappingIssue
from mappings.patient.identifiers import fhir_id

AUDIT = "SELECT argument, reason FROM audit WHERE verb = 'explain' ORDER BY number"


async def explained(here, *arguments):
    code, out, _ = await here.here.run("explain", *arguments, "--json")
    return code, json.loads(out)


async def report_of(here):
    """Return a report that is alone in its study, with a patient name of two words."""
    sql = (
        "SELECT report_id, study_id FROM message WHERE kind = 'signed' AND study_id IN"
        " (SELECT study_id FROM message GROUP BY study_id HAVING count(*) = 1) ORDER BY report_id"
    )
    for report_id, study_id in await here.query(sql):
        reports = here.here.account.reports[study_id]
        if len(reports) == 1 and len((reports[0]["snapshotMetadata"].get("patientName") or "").split()) == 2:
            return report_id, study_id, reports[0]
    raise AssertionError("no such report")


async def test_a_field_of_hl7_is_explained_by_value_rule_pointer_and_setting(site):
    async with site() as here:
        await here.sync()
        await here.served()
        report_id, study_id, report = await report_of(here)
        name = report["snapshotMetadata"]["patientName"]
        code, answer = await explained(here, report_id, "PID-5", "--at", "ehr", "--reason", "a question of the ward")
        [field] = answer["fields"]
        assert (code, answer["studyId"], answer["destination"]) == (0, study_id, "ehr")
        assert (field["rule"]["name"], field["rule"]["clause"]) == ("pid_5_patient_name", "HL7 v2.5.1 §3.4.2.5")
        assert ("/reports/0/snapshotMetadata/patientName", name) in [
            (s["pointer"], s["value"]) for s in field["sources"]
        ]
        keys = {setting["key"]: setting["value"] for setting in field["settings"]}
        facility = report["snapshotMetadata"]["facilityName"]
        assert f"mapping.facilities[{facility}].name_order" in keys
        assert keys["receiver.xpn_type"] == "on"
        assert all(part.upper() in field["values"][0].upper() for part in name.replace(",", " ").split())
        assert await here.query(AUDIT) == [(f"{report_id} PID-5 at ehr", "a question of the ward")]
        assert name not in str(await here.query("SELECT * FROM audit"))


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("OBR-25", "/reports/0/status"),
        ("OBX-11", "/reports/0/status"),
        ("OBX-5", "/reports/0/reportPlainText"),
        ("DiagnosticReport.conclusion", "/reports/0/reportPlainText"),
        ("Patient.birthDate", "/reports/0/snapshotMetadata/dateOfBirth"),
        ("PID-5.1", "/reports/0/snapshotMetadata/patientName"),
    ],
)
async def test_each_kind_of_field_leads_to_what_autoscribe_said(site, name, pointer):
    async with site() as here:
        await here.sync()
        await here.served()
        report_id, *_ = await report_of(here)
        code, answer = await explained(here, fhir_id(report_id), name)
        [field] = answer["fields"]
        assert (code, bool(field["values"])) == (0, True)
        assert pointer in [source["pointer"] for source in field["sources"]]
        assert field["rule"] is not None


async def test_of_obx_only_the_kinds_that_are_there_are_explained(site):
    async with site() as here:
        await here.sync()
        await here.served()
        report_id, *_ = await report_of(here)
        _, answer = await explained(here, report_id, "OBX-11")
        keys = {setting["key"] for setting in answer["fields"][0]["settings"]}
        assert keys.isdisjoint({"receiver.pdf", "receiver.vitals", "receiver.uid"})
        _, answer = await explained(here, report_id, "OBX(PDF)-11")
        assert "receiver.pdf" in {setting["key"] for setting in answer["fields"][0]["settings"]}


async def test_without_a_field_all_fields_are_listed(site):
    async with site() as here:
        await here.sync()
        await here.served()
        report_id, *_ = await report_of(here)
        code, answer = await explained(here, report_id)
        names = {one["name"] for one in answer["fields"]}
        assert code == 0
        assert {"PID-5", "OBR-25", "OBX-5", "DiagnosticReport.conclusion", "MSH-4"} <= names
        assert all(one["values"] for one in answer["fields"])
        code, out, _ = await here.here.run("explain", report_id)
        assert code == 0
        assert any(line.startswith("  PID-5  ") and "<- /reports/0/snap" in line for line in out.splitlines())


async def test_each_version_that_was_sent_is_shown_as_a_difference(site):
    async with site() as here:
        await here.sync()
        await here.served()
        report_id, study_id, _ = await report_of(here)
        assert (await here.feed("replay", "ehr", "--study", study_id, "--yes"))[0] == 0
        await here.served()
        _, answer = await explained(here, report_id, "OBR-25", "--sent")
        [sent] = answer["sent"]
        assert (sent["to"], [one["values"] for one in sent["versions"]]) == ("ehr", [["F"], ["C"]])
        code, out, _ = await here.here.run("explain", report_id, "OBR-25", "--sent")
        assert code == 0
        assert "    F\n" in out
        assert "    - F\n    + C\n" in out
        async with here.here.store() as engine:
            await engine.do(lambda: ask(Statement("DELETE FROM message_body")))
        assert "deleted after" in (await here.here.run("explain", report_id, "OBR-25", "--sent"))[1]


async def test_of_an_element_each_version_of_the_resource_is_shown(site):
    async with site() as here:
        await here.sync()
        report_id, *_ = await first_signed(here)
        here.here.account.change_text(report_id, "IMPRESSION:\nAnother impression.")
        await here.sync()
        _, answer = await explained(here, report_id, "DiagnosticReport.conclusion", "--sent")
        [sent] = answer["sent"]
        assert sent["to"] == f"DiagnosticReport/{fhir_id(report_id)}"
        first, *_, last = [one["values"] for one in sent["versions"]]
        assert (first != last, last) == (True, ["Another impression."])


async def first_signed(here):
    alone = "SELECT study_id FROM report GROUP BY study_id HAVING count(*) = 1"
    sql = f"SELECT report_id, study_id FROM report WHERE status = 'completed' AND study_id IN ({alone}) ORDER BY 1"
    return next(one for one in await here.query(sql) if not here.here.account.studies[one[1]]["isCancelled"])


@pytest.mark.parametrize("name", ["OBX-3", "conclusion"])
async def test_a_cut_shows_itself_line_by_line_with_section_and_role(site, name):
    async with site() as here:
        await here.sync()
        await here.served()
        report_id, _, report = await report_of(here)
        code, answer = await explained(here, report_id, name)
        written = [line.strip() for line in report["reportPlainText"].splitlines() if line.strip()]
        assert (code, [row["text"] for row in answer["lines"]]) == (0, written)
        impression = next(row for row in answer["lines"] if row["role"])
        assert (impression["section"], impression["role"]) == ("impression", "impression")
        _, text, _ = await here.here.run("explain", report_id, name)
        assert f"  line {impression['number']:<4} {impression['text'][:20]}" in text
        assert "-> impression -> impression" in text
        assert "-> findings -> not in the conclusion" in text


async def test_where_a_field_has_no_value_it_exits_1(site):
    async with site() as here:
        await here.sync()
        report_id, *_ = await first_signed(here)
        code, answer = await explained(here, report_id, "PID-30")
        assert (code, answer["fields"][0]["values"]) == (1, [])
        code, out, _ = await here.here.run("explain", report_id, "PID-30")
        assert (code, "  value     none" in out, "no single AutoScribe value changes it" in out) == (1, True, True)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("rep_1",), 1, "no such report is stored"),
        (("rep_1", "patient name"), 2, "FIELD: neither a field of HL7 v2 nor an element of FHIR"),
        (("rep_1", "--sent"), 2, "--sent: without a field"),
        (("rep_1", "PID-5", "--at", "his"), 2, "his: no destination has this name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_what_cannot_be_explained_says_why(site, command, code, said):
    async with site() as here:
        found, out, err = await here.here.run("explain", *command)
        assert (found, said in out + err) == (code, True)


async def test_without_destinations_it_is_explained_for_the_usual_profile(site):
    async with site() as here:
        await here.sync()
        report_id, *_ = await first_signed(here)
        here.settings()
        file = here.folder / "gateway.toml"
        file.write_text(file.read_text().partition("[[destination]]")[0])
        code, answer = await explained(here, report_id, "MSH-12")
        assert (code, answer["destination"], answer["receiver"]) == (0, None, "generic")
        assert answer["fields"][0]["values"] == ["2.5.1"]


def field(values=("F", "F"), sources=(), issues=()):
    return FieldExplanation("OBX-11", values, None, sources, (), issues)


def answer(field):
    return Explanation("rep_1", "stu_1", "generic", None, (), (field,))


def test_an_equal_value_of_many_segments_is_said_once_with_how_many():
    text = "\n".join(one_field(answer(field())))
    assert "  value     F (2 times)" in text
    assert "  rule      a row of the segment's table" in text


def test_an_issue_and_a_leaf_that_is_null_are_said():
    issue = MappingIssue("name-not-split", "warning", "/a", "kept whole")
    text = "\n".join(one_field(answer(field(issues=[issue], sources=[("/a", None, "normalised")]))))
    assert "  from      /a [normalised] = null" in text
    assert "  issue     name-not-split at /a: kept whole" in text


def test_in_the_list_a_long_value_is_cut():
    [_, line] = every_field(answer(field(values=["x" * 100])))
    assert line == f"  OBX-11  {'x' * 60}…  <- -"


def test_of_lines_only_those_that_differ_are_shown():
    values = (("one", "two"), ("one", "two"), ("one", "three"), ())
    versions = tuple(SentVersion(instant(at), "ABCD"[at - 1], one) for at, one in enumerate(values, 1))
    text = "\n".join(sent_lines([SentVersions("ehr", versions)]))
    assert "000002Z  B\n    the same\n" in text
    assert "000003Z  C\n    - two\n    + three\n" in text
    assert "000004Z  D\n    - one\n    - three\n" in text
