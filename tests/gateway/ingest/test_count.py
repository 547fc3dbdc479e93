"""Decision D26: the result of an ingest is counted, with the delay of a signature on a study known to be open."""

from datetime import UTC, datetime, timedelta

import pytest
from fakes.fhir_studies import SITE, report, snapshot
from fakes.inbox import sample
from fakes.taken_in import DRAFT, take

from gateway.ingest import Pipeline
from gateway.ingest.read_through import note
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.store import study_rows
from mappings.issues import MappingIssue

SIGNED = datetime(2024, 3, 15, 16, 0, tzinfo=UTC)


@pytest.fixture
def pipeline(sqlite_engine, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: SIGNED + timedelta(seconds=40))
    return Pipeline(sqlite_engine, SITE, UTC)


@pytest.fixture
def metrics():
    return Metrics()


def lags(metrics):
    """Return the number of delays, and their sum in seconds."""
    return sample(metrics, "signature_to_queued_seconds_count"), sample(metrics, "signature_to_queued_seconds_sum")


async def test_versions_are_counted_by_type_and_what_did_not_change_is_not(pipeline, metrics):
    for _ in range(2):
        note(await take(pipeline), metrics)
    for kind in ("DiagnosticReport", "Patient", "ImagingStudy"):
        assert sample(metrics, "resource_versions_total", resource_type=kind) == 1
    assert sample(metrics, "suppressed_resources_total", resource_type="DiagnosticReport") is None
    assert sample(metrics, "store_write_duration_seconds_count") == 1


async def test_what_the_judge_rejects_is_counted_apart(pipeline, metrics, monkeypatch):
    fault = MappingIssue("fhir-structure", "error", "/status", "refused as enum")
    monkeypatch.setattr(study_rows, "judge_all", lambda made, *_: [(fault,) if "status" in one else () for one in made])
    note(await take(pipeline), metrics)
    assert sample(metrics, "suppressed_resources_total", resource_type="DiagnosticReport") == 1
    assert sample(metrics, "suppressed_resources_total", resource_type="Patient") is None


async def test_issues_are_counted_by_severity_once_for_each_change(pipeline, metrics):
    note(await take(pipeline, report(snapshotMetadata=snapshot(mrn=None))), metrics)
    assert sample(metrics, "mapping_issues_total", severity="warning") >= 1
    again = sample(metrics, "mapping_issues_total", severity="warning")
    note(await take(pipeline, report(snapshotMetadata=snapshot(mrn=None))), metrics)
    assert sample(metrics, "mapping_issues_total", severity="warning") == again


async def test_a_study_that_speaks_of_somebody_else_is_a_conflict(pipeline, metrics):
    note(await take(pipeline), metrics)
    other = snapshot(patientName="Robert Miller", dateOfBirth="1950-01-01")
    note(await take(pipeline, report("5", snapshotMetadata=other), digit="2"), metrics)
    assert sample(metrics, "identity_conflicts_total") == 1


async def test_a_signature_on_a_study_that_was_seen_open_says_how_late_it_was_seen(pipeline, metrics):
    note(await take(pipeline, report(**DRAFT)), metrics)
    assert lags(metrics) == (0, 0)
    note(await take(pipeline, report(signedAt=SIGNED.isoformat())), metrics)
    assert lags(metrics) == (1, 40)


async def test_history_that_is_read_for_the_first_time_says_nothing_of_how_late_it_is(pipeline, metrics):
    note(await take(pipeline, report(signedAt="2020-01-01T00:00:00Z")), metrics)
    assert lags(metrics) == (0, 0)


@pytest.mark.parametrize(("signed", "expected"), [(None, (0, 0)), ("2999-01-01T00:00:00Z", (1, 0))])
async def test_a_signature_without_an_instant_says_nothing_and_none_is_seen_before_it_was_made(
    pipeline, metrics, signed, expected
):
    note(await take(pipeline, report(**DRAFT)), metrics)
    note(await take(pipeline, report(signedAt=signed)), metrics)
    assert lags(metrics) == expected


async def test_what_is_no_signature_says_nothing_of_one(pipeline, metrics):
    note(await take(pipeline, report(signedAt=SIGNED.isoformat())), metrics)
    note(await take(pipeline, report(signedAt=SIGNED.isoformat(), reportPlainText="FINDINGS: other.")), metrics)
    assert lags(metrics) == (0, 0)
