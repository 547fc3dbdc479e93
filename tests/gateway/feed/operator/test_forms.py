"""A report as stored: the leaves of AutoScribe's JSON with their issues, and the elements of FHIR (D4, D7)."""

from __future__ import annotations

import json

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.operator.forms import critical_reports, pdf_of, report_forms


async def test_a_report_has_its_leaves_and_its_resources_but_not_those_of_other_reports(site):
    async with site() as here:
        await here.sync()
        study_id, reports = next(
            (study_id, reports)
            for study_id, reports in here.here.account.reports.items()
            if len(reports) > 1 and reports[0]["status"] == "completed" and reports[0].get("reportPlainText")
        )
        report_id, other_id = reports[0]["reportId"], reports[1]["reportId"]
        async with here.here.store() as engine:
            forms = await report_forms(engine, report_id.replace("rep_", "rep-"))
            assert await report_forms(engine, "rep_" + "0" * 32) is None
            assert await pdf_of(engine, report_id) is None
        assert (forms.report_id, forms.study_id) == (report_id, study_id)
        leaves = {row.place: row.value for row in forms.autoscribe}
        assert report_id in leaves.values()
        assert not any(value == other_id and place.startswith("/reports/") for place, value in leaves.items())
        assert leaves["/studyId"] == study_id
        [report] = [one for one in forms.fhir if one.address.startswith("DiagnosticReport/")]
        elements = {row.place: row.value for row in report.rows}
        assert elements["DiagnosticReport.subject.reference"] == f"Patient/{forms.patient_id}"
        assert f"Patient/{forms.patient_id}" in [one.address for one in forms.fhir]
        assert next(what for _, what in forms.moments) == "signed in AutoScribe"


async def test_an_issue_stands_at_the_leaf_where_it_arose_and_each_issue_is_somewhere(site):
    async with site() as here:
        await here.sync()
        rows = await here.query("SELECT study_id, pointer, code FROM issue WHERE severity <> 'information'")
        assert rows
        async with here.here.store() as engine:
            for study_id, pointer, code in rows:
                for report in here.here.account.reports[study_id][:1]:
                    forms = await report_forms(engine, report["reportId"])
                    if forms is None:
                        continue
                    own = {(row.place, one.code) for row in forms.autoscribe for one in row.issues}
                    assert (pointer, code) in own | {(one.pointer, one.code) for one in forms.others}


async def test_critical_reports_are_told_by_their_study(site):
    async with site() as here:
        signed = here.here.account.sign_new(critical=True)
        await here.sync()
        async with here.here.store() as engine:
            [calm] = [
                one["studyId"]
                for one in list(here.here.account.studies.values())
                if not any(report.get("isCritical") for report in here.here.account.reports[one["studyId"]])
            ][:1]
            found = await critical_reports(engine, {signed.study_id, calm})
            assert list(found) == [signed.study_id]
            assert signed.report_id in found[signed.study_id]


def test_the_fields_of_a_message_have_their_place_their_name_and_their_decoded_text():
    message = (
        "MSH|^~\\&|A||B||20260101||ORU^R01|1|P|2.5.1||||||UNICODE UTF-8\rPID|1||7\rOBX|1|TX|1||a \\T\\ b\\.br\\c"
        "\rOBX|2|TX|1||é\rZZZ|x\r"
    ).encode()
    fields = {one.place: (one.of_any, one.name, one.value) for one in HL7V2.fields(message)}
    assert fields["PID-3"] == ("PID-3", "Patient Identifier List", "7")
    assert fields["OBX[1]-5"] == ("OBX-5", "Observation Value", "a & b\nc")
    assert fields["OBX[2]-5"][2] == "é"
    assert fields["MSH-2"][2] == "^~\\&"
    assert fields["ZZZ-1"] == ("ZZZ-1", "", "x")
    assert "PID-2" not in fields
    assert HL7V2.fields(b"no message") == []
    long = message.replace(b"7", b"7" * 10_000)
    assert len(json.dumps({one.place: one.value for one in HL7V2.fields(long)}["PID-3"])) < 5_000
