import copy
import json

import pytest
from fakes import documents
from fakes.upstream_json import STUDY_PAGE, report_json, response_json, study_json, user_json
from hypothesis import given
from hypothesis import strategies as st

from mappings.issues import WireError
from mappings.study import wire

FULL_METADATA = {
    "age": "38 years",
    "dateOfBirth": "1985-07-20",
    "facilityName": "City Medical Center",
    "height": {"unit": "cm", "value": 165},
    "mrn": "MRN-2024-001234",
    "patientName": "Jane Doe",
    "procedure": "MRI Brain with Contrast",
    "referringPhysicianName": "Dr. Michael Chen",
    "sex": "female",
    "studyDate": "2024-03-15",
    "studyTime": "14:30",
    "weight": {"unit": "kg", "value": 62.5},
}
FULL_REPORT = report_json(snapshotMetadata=FULL_METADATA, reportPlainText="FINDINGS: none")
FULL_STUDY = study_json(
    reportMetadata=FULL_METADATA,
    assignedTo={"email": "a@b.example", "userId": documents.USER_ID, "firstName": "John", "suffix1": "MD"},
    createdByUser=None,
    createdByApiKey={"apiKeyId": "550e8400-e29b-41d4-a716-446655440000", "description": "one"},
    expressCustomer={"expressCustomerId": "cus_" + "1" * 32, "expressCustomerName": "City"},
    metadata={"department": "radiology"},
    priorReports=[{"reportText": "IMPRESSION: none", "modality": "CT"}],
    reportIds=[{"reportId": documents.REPORT_ID, "status": "in_progress", "isCritical": None}],
    technologistNotes=["Slight motion"],
    studyType="standard",
    modality=None,
)
DOCUMENTS = [
    (FULL_REPORT, wire.REPORT),
    (response_json(FULL_REPORT), wire.REPORT_LIST),
    (documents.text_item(), wire.REPORT_TEXT),
    (documents.pdf_item(), wire.REPORT_PDF),
    (FULL_STUDY, wire.STUDY),
    ({"studies": [FULL_STUDY], "hasMore": True, "cursor": "eyJv"}, STUDY_PAGE),
    (user_json(npiNumber="1234567893"), wire.USER),
    ({"users": [user_json()], "hasMore": False}, wire.USER_PAGE),
    ({"success": True}, wire.ACTION_RESPONSE),
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def _codes(value, shape):
    return [(issue.code, issue.pointer) for issue in wire.check(value, shape)]


def _places(value, path=()):
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(inner, (*path, key))


def _changed(document, path, new):
    changed = copy.deepcopy(document)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = new
    return changed


@pytest.mark.parametrize(("document", "shape"), DOCUMENTS)
def test_what_the_contract_says_has_no_issues(document, shape):
    assert _codes(document, shape) == []


NOT_JSON = {
    "nothing": "",
    "a word": "x",
    "an open object": "{",
    "a comma too many": '{"a":1,}',
    "not a number": "NaN",
    "infinity": "[Infinity]",
    "minus infinity": "-Infinity",
    "a key twice": '{"a":1,"a":2}',
    "a key twice further in": '{"b":{"a":1,"a":1}}',
    "a float too large": "1e999",
    "an integer too large": "9" * 400,
    "an integer of too many digits": "-" + "9" * 9999,
    "too deep": "[" * 200_000,
    "no UTF-8": b"\xff",
    "half a character": b'"\xc3"',
    "a raw tab in a string": '"\t"',
    "a leading zero": "01",
    "a byte order mark": "\ufeff1",
    "two values": "1 2",
}
FOUND = {"nothing", "another form", *(wire.json_kind(value) for value in (None, 1, True, "", [], {}))}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_strict_json_is_refused_with_a_place_and_without_the_text(name):
    with pytest.raises(WireError) as caught:
        wire.loads(NOT_JSON[name], "/reports")
    assert caught.value.pointer == "/reports"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_the_place_of_a_syntax_error_is_given_as_line_and_column():
    with pytest.raises(WireError, match="line 2, column 3"):
        wire.loads('{\n  x: "CANARY"}')


@given(JSON_VALUES)
def test_json_reads_back_as_it_was_written(value):
    assert wire.loads(json.dumps(value)) == value
    assert wire.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@given(st.text() | st.binary())
def test_reading_raises_nothing_but_its_own_error(text):
    try:
        wire.loads(text)
    except WireError as error:
        assert error.expected


def test_a_lone_surrogate_and_a_number_as_it_was_written_survive():
    assert wire.loads('["\\ud800", 1, 1.0, 1e2]') == ["\ud800", 1, 1.0, 100.0]
    assert [type(number) for number in wire.loads("[1, 1.0]")] == [int, float]


@pytest.mark.parametrize(
    ("changes", "issues"),
    [
        ({"status": "draft"}, [("unknown-code", "/status")]),
        ({"new/key~": 1}, [("unknown-key", "/new~1key~0")]),
        ({"reportPlainText": None}, [("null-value", "/reportPlainText")]),
        ({"signedAt": None}, []),
        ({"snapshotMetadata": {"sex": "unknown"}}, [("unknown-code", "/snapshotMetadata/sex")]),
        (
            {"snapshotMetadata": {"height": {"unit": "inches", "value": 0}}},
            [("unknown-code", "/snapshotMetadata/height/unit")],
        ),
        ({"snapshotMetadata": {"dateOfBirth": "7321-69-10", "age": ""}}, []),
    ],
)
def test_what_the_contract_leaves_open_is_accepted_and_reported(changes, issues):
    assert _codes(report_json(**changes), wire.REPORT) == issues


def test_a_key_that_may_be_null_may_be_absent_too():
    document = report_json()
    del document["isCritical"], document["signedAt"]
    assert _codes(document, wire.REPORT) == [("key-absent", "/isCritical"), ("key-absent", "/signedAt")]


@pytest.mark.parametrize(
    ("changes", "pointer", "found"),
    [
        ({"reportId": None}, "/reportId", "null"),
        ({"reportId": "rep_1"}, "/reportId", "another form"),
        ({"reportId": "rep_" + "1" * 32 + "\n"}, "/reportId", "another form"),
        ({"reportId": 7}, "/reportId", "a number"),
        ({"isAddendum": 1}, "/isAddendum", "a number"),
        ({"isAddendum": "true"}, "/isAddendum", "a string"),
        ({"snapshotMetadata": []}, "/snapshotMetadata", "an array"),
        ({"snapshotMetadata": {"height": {"unit": "cm"}}}, "/snapshotMetadata/height/value", "nothing"),
        ({"snapshotMetadata": {"height": {"unit": "cm", "value": True}}}, "/snapshotMetadata/height/value", "true or"),
        ({"snapshotMetadata": {"mrn": 12345}}, "/snapshotMetadata/mrn", "a number"),
        ({"signedAt": {}}, "/signedAt", "an object"),
    ],
)
def test_what_the_contract_forbids_is_refused_with_pointer_and_kind(changes, pointer, found):
    with pytest.raises(WireError) as caught:
        wire.check(report_json(**changes), wire.REPORT)
    assert caught.value.pointer == pointer
    assert caught.value.found.startswith(found)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"metadata": {"a/b": 1}}, "/metadata/a~1b"),
        ({"technologistNotes": ["x", None]}, "/technologistNotes/1"),
        ({"reportIds": [{"reportId": documents.REPORT_ID}]}, "/reportIds/0/status"),
        ({"studyInstanceUid": ""}, "/studyInstanceUid"),
    ],
)
def test_the_pointer_leads_into_arrays_and_maps(changes, pointer):
    with pytest.raises(WireError) as caught:
        wire.check(study_json(**changes), wire.STUDY)
    assert caught.value.pointer == pointer


@given(st.sampled_from(DOCUMENTS), st.data(), JSON_VALUES)
def test_no_place_of_a_document_can_hold_what_breaks_the_check_or_shows_its_value(case, data, new):
    document, shape = case
    changed = _changed(document, data.draw(st.sampled_from(list(_places(document)))), new)
    try:
        issues = wire.check(changed, shape, "/x")
    except WireError as error:
        assert error.pointer.startswith("/x/")
        assert error.found in {
            "nothing",
            "another form",
            *(wire.json_kind(kind) for kind in (None, 1, True, "", [], {})),
        }
    else:
        assert all(issue.pointer.startswith("/x/") for issue in issues)


@pytest.mark.parametrize("value", [None, 1, True, "x", [], 1.5])
def test_a_document_that_is_no_object_is_refused(value):
    with pytest.raises(WireError, match="expected an object"):
        wire.check(value, wire.STUDY)
