"""https://hl7.org/fhir/R4/resource.html#Meta and decision D29: versions by content, instants that never go back."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway import clock
from gateway.store.seen import Seen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENT = ("Patient", "pat-1")
REPORT = ("DiagnosticReport", "rep-1")


def resource(key, **content):
    return {"resourceType": key[0], "id": key[1], **content}


@pytest.fixture
def stopped_clock(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOON)


def test_a_version_carries_its_id_and_instant_and_keeps_what_meta_said(stopped_clock):
    seen = Seen(10)
    version = seen.put("stu_1", {REPORT: resource(REPORT, meta={"profile": ["p"]}, status="final")})[REPORT]
    assert version.resource == {
        "resourceType": "DiagnosticReport",
        "id": "rep-1",
        "meta": {"versionId": version.version_id, "lastUpdated": "2026-03-01T12:00:00Z", "profile": ["p"]},
        "status": "final",
    }
    assert list(version.resource)[:3] == ["resourceType", "id", "meta"]
    assert (version.last_updated, version.key) == (NOON, REPORT)


def test_the_same_content_is_the_same_version(stopped_clock):
    seen = Seen(10)
    first = seen.put("stu_1", {REPORT: resource(REPORT, status="final")})[REPORT]
    assert seen.put("stu_1", {REPORT: resource(REPORT, status="final")})[REPORT] is first
    assert seen.put("stu_2", {REPORT: resource(REPORT, status="final")})[REPORT] is first


def test_changed_content_has_another_version_id_and_a_later_instant_although_the_clock_stands_still(stopped_clock):
    seen = Seen(10)
    first = seen.put("stu_1", {REPORT: resource(REPORT, status="final")})[REPORT]
    second = seen.put("stu_1", {REPORT: resource(REPORT, status="appended")})[REPORT]
    assert second.version_id != first.version_id
    assert second.last_updated > first.last_updated


def test_instants_never_go_back_with_the_clock(monkeypatch):
    moments = iter([NOON, NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=2)])
    monkeypatch.setattr(clock, "now", lambda: next(moments))
    seen = Seen(10)
    instants = [seen.put("s", {REPORT: resource(REPORT, n=n)})[REPORT].last_updated for n in range(3)]
    assert instants == sorted(set(instants))


def test_the_patient_of_the_newest_study_is_current_whatever_was_read_last():
    seen = Seen(10)
    seen.put("stu_new", {PATIENT: resource(PATIENT, gender="female")}, rank=("2026-03-01", 0.0))
    seen.put("stu_old", {PATIENT: resource(PATIENT, gender="male")}, rank=("2025-01-01", 0.0))
    assert seen.get(*PATIENT).resource["gender"] == "female"


def test_of_other_resources_the_one_put_last_is_current():
    key = ("Practitioner", "usr-1")
    seen = Seen(10)
    seen.put("stu_new", {key: resource(key, active=True)}, rank=("2026-03-01", 0.0))
    seen.put("stu_old", {key: resource(key, active=False)}, rank=("2025-01-01", 0.0))
    assert seen.get(*key).resource["active"] is False


def test_what_a_study_no_longer_has_is_gone_and_what_others_hold_stays():
    seen = Seen(10)
    seen.put("stu_1", {PATIENT: resource(PATIENT), REPORT: resource(REPORT)})
    seen.put("stu_2", {PATIENT: resource(PATIENT)})
    seen.put("stu_1", {})
    assert seen.get(*REPORT) is None
    assert seen.get(*PATIENT) is not None


def test_the_study_not_used_for_longest_is_forgotten_first():
    keys = [("Patient", f"pat-{number}") for number in range(4)]
    seen = Seen(3)
    for number in range(3):
        seen.put(f"stu_{number}", {keys[number]: resource(keys[number])})
    assert seen.get(*keys[0])
    seen.put("stu_3", {keys[3]: resource(keys[3])})
    assert len(seen) == 3
    assert seen.get(*keys[1]) is None
    assert seen.get(*keys[0])


def test_the_versions_of_a_put_are_returned_even_when_there_is_room_for_none():
    assert Seen(0).put("stu_1", {REPORT: resource(REPORT)})[REPORT].resource_id == "rep-1"


def test_a_report_names_the_study_it_was_made_from():
    seen = Seen(10)
    seen.put("stu_1", {REPORT: resource(REPORT)})
    assert seen.owner_of(*REPORT) == "stu_1"
    assert seen.owner_of(*PATIENT) is None


def test_a_resource_handed_out_is_a_copy():
    seen = Seen(10)
    version = seen.put("stu_1", {REPORT: resource(REPORT, status="final")})[REPORT]
    version.resource["status"] = "entered-in-error"
    assert version.resource["status"] == "final"
