"""Laws of decoding: any JSON is a Study or a WireError, and the order of rows changes nothing."""

from dataclasses import replace

import pytest
from fakes.upstream_json import STUDY_ID, report_json, response_json, study_json, user_json
from hypothesis import example, given
from hypothesis import strategies as st

from mappings.issues import WireError
from mappings.study import wire
from mappings.study.autoscribe import decode

texts = st.text(st.characters(), max_size=12)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
instants = st.one_of(
    st.none(), texts, st.sampled_from(["2024-03-15T16:00:00Z", "2024-03-15T16:00:00", "2024-03-15T18:00:00+02:00"])
)
snapshots = st.fixed_dictionaries(
    {},
    optional={
        **{key: texts for key, (kind, _) in wire.STUDY_REPORT_METADATA.items() if kind.json_type is str},
        "height": st.fixed_dictionaries({"unit": texts, "value": st.one_of(st.integers(), st.floats())}),
    },
)
rows = st.builds(
    report_json,
    st.sampled_from("0123456789abcdef"),
    status=st.one_of(st.sampled_from(["completed", "in_progress"]), texts),
    isAddendum=st.booleans(),
    isCritical=st.one_of(st.none(), st.booleans()),
    createdAt=instants,
    signedAt=instants,
    updatedAt=instants,
    snapshotMetadata=snapshots,
    reportPlainText=texts,
)
reports = st.lists(rows, max_size=6, unique_by=lambda row: row["reportId"])


def refused_or_read(*parts):
    try:
        return decode(*parts)
    except WireError as error:
        return error


@given(json_values, json_values, json_values)
@example(None, response_json(report_json()), [])
def test_any_json_is_a_study_or_a_wire_error(study, answer, users):
    refused_or_read(study, answer, users)


@given(st.data())
def test_a_valid_document_with_any_value_anywhere_is_a_study_or_a_wire_error(data):
    document = {
        "study": study_json(externalPatientId="P", metadata={"a": "b"}, technologistNotes=["x"], reportMetadata={}),
        "answer": response_json(report_json(snapshotMetadata={"mrn": "1", "height": {"unit": "cm", "value": 1}})),
        "users": [user_json()],
    }
    places = list(containers(document))
    place = data.draw(st.sampled_from(places))
    keys = range(len(place)) if isinstance(place, list) else [*place, "odd"]
    place[data.draw(st.sampled_from(list(keys)))] = data.draw(json_values)
    refused_or_read(document["study"], document["answer"], document["users"])


def containers(value):
    if isinstance(value, (list, dict)) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


@pytest.mark.full
@given(reports, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_only_the_pointers(rows, random):
    shuffled = random.sample(rows, len(rows))
    first, second = decode(study_json(), rows), decode(study_json(), shuffled)
    assert without_pointers(first) == without_pointers(second)
    for study, given_rows in ((first, rows), (second, shuffled)):
        for report in study.reports:
            assert given_rows[int(report.pointer.removeprefix("/reports/"))]["reportId"] == report.report_id


def without_pointers(study):
    return [repr(replace(report, pointer="")) for report in study.reports]


@pytest.mark.full
@given(reports)
def test_originals_stand_before_addenda_and_no_report_is_lost_or_changed(rows):
    study = decode(study_json(), rows)
    flags = [report.is_addendum for report in study.reports]
    assert flags == sorted(flags)
    said = {row["reportId"]: row for row in rows}
    assert {report.report_id for report in study.reports} == set(said)
    for report in study.reports:
        row = said[report.report_id]
        assert (report.text, report.status, report.signed_at) == (
            row["reportPlainText"],
            row["status"],
            row["signedAt"],
        )
        assert report.snapshot.patient_name == row["snapshotMetadata"].get("patientName")
        assert "".join(section.heading + section.body for section in report.sections) == report.text


@pytest.mark.full
@given(reports)
def test_issues_and_errors_never_hold_a_value(rows):
    marked = [{**row, "reportPlainText": "CANARY", "status": "CANARY", "signedAt": "CANARY"} for row in rows]
    assert "CANARY" not in "".join(map(str, decode(study_json(), marked).issues))


@given(st.sampled_from(sorted(wire.REPORT)), json_values)
def test_a_wire_error_tells_the_place_and_no_value(key, value):
    try:
        decode(None, [report_json(**{key: ["CANARY", value]})])
    except WireError as error:
        assert error.pointer == f"/reports/0/{key}"
        assert "CANARY" not in str(error)
    else:
        pytest.fail(f"an array for {key} was taken")


@given(st.lists(rows, min_size=1, max_size=4))
def test_rows_of_one_id_are_one_report_or_refused(rows):
    same = [{**row, "reportId": rows[0]["reportId"]} for row in rows]
    found = refused_or_read(study_json(), same)
    if isinstance(found, WireError):
        assert found.pointer.endswith("/reportId")
    else:
        assert len(found.reports) == 1
        assert found.reports[0].study_id == STUDY_ID
