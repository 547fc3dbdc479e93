"""The client of an EHR signs in, asks only what EHRs offer, keeps to its budget, and takes no fault for an answer.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html, RFC 9110 §10.2.3 (Retry-After)
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime

import pytest
from fakes.ehr import Charts, ehr
from starlette.responses import JSONResponse, Response
from structlog.testing import capture_logs

from gateway.feed.compose.sent_report import SentReport
from gateway.feed.read_back.ehr import EhrClient, SearchRefused
from gateway.feed.read_back.filed_reports import read_back
from gateway.runtime import clock
from gateway.runtime.errors import EhrUnavailable
from mappings.patient.people import Person

JANE = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "urn:mrn", "value": "1"}],
    "name": [{"family": "Doe", "given": ["Jane"]}],
    "birthDate": "1970-01-01",
    "gender": "female",
}
REPORT = {
    "resourceType": "DiagnosticReport",
    "id": "r1",
    "status": "final",
    "identifier": [{"value": "F1"}],
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2026-01-05",
    "conclusion": "Nothing acute.",
}
SENT = SentReport(
    (("urn:mrn", "1"),),
    "F1",
    text="Nothing acute.",
    person=Person("1970-01-01", "female", "Doe, Jane", "Doe", ("Jane",)),
    since=date(2026, 1, 4),
)
PAGE = {"resourceType": "Bundle", "type": "searchset"}
MALFORMED = [
    {"resource": {"resourceType": "Patient", "name": 1}},
    {"resource": {"resourceType": "DiagnosticReport", "subject": 1}},
]


@asynccontextmanager
async def asking(tmp_path, *reports, patients=(JANE,), **more):
    """Open a client of an EHR with these charts; yield it and the EHR."""
    charts = Charts({one["id"]: one for one in patients}, {one["id"]: one for one in reports})
    async with ehr(tmp_path, charts.search, **more) as (stand_in, settings):
        client = EhrClient(settings)
        try:
            yield client, stand_in
        finally:
            await client.close()


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
async def test_a_report_that_is_there_needs_one_token_and_two_searches(tmp_path, algorithm):
    async with asking(tmp_path, REPORT, algorithm=algorithm) as (client, there):
        for _ in range(2):
            assert (await read_back(client, SENT)).fate == "found"
        assert dict(there.requests) == {"token": 1, "Patient": 2, "DiagnosticReport": 2}
        assert there.searches[:2] == [
            "Patient?identifier=urn%3Amrn%7C1",
            "DiagnosticReport?patient=p1&_count=50&date=ge2026-01-04",
        ]
        assert client.requests == 5


async def test_a_token_is_renewed_before_it_ends_and_once_it_is_revoked(tmp_path, monkeypatch):
    async with asking(tmp_path, REPORT) as (client, there):
        await read_back(client, SENT)
        there.revoke()
        assert (await read_back(client, SENT)).fate == "found"
        assert there.requests["token"] == 2
        at = clock.monotonic()
        monkeypatch.setattr(clock, "monotonic", lambda: at + 275)
        await read_back(client, SENT)
        assert there.requests["token"] == 3


@pytest.mark.parametrize(
    ("sent", "reports", "patients", "found"),
    [
        ({}, [], [JANE], ("absent", "")),
        ({}, [REPORT], [], ("absent", "patient-unknown")),
        ({"numbers": ()}, [REPORT], [JANE], ("found", "")),
        ({"numbers": (("", "1"),)}, [REPORT], [JANE], ("found", "")),
        ({"numbers": (("urn:other", "1"),)}, [REPORT], [JANE], ("found", "")),
        ({"numbers": (("urn:mrn", "7"),)}, [REPORT], [JANE], ("other patient", "number")),
        ({"numbers": (), "person": Person()}, [REPORT], [JANE], ("not checkable", "patient-unnamed")),
        ({"since": date(2026, 1, 6)}, [REPORT], [JANE], ("absent", "")),
        ({"since": None}, [REPORT], [JANE], ("found", "")),
        ({}, [REPORT], [{**JANE, "birthDate": "1931-01-31"}], ("other patient", "person")),
        (
            {},
            [{**REPORT, "subject": {"reference": "Patient/p2"}}],
            [JANE, {**JANE, "id": "p2", "identifier": [{"value": "2"}]}],
            ("other patient", "number"),
        ),
        ({"status": "withdrawn"}, [REPORT], [JANE], ("differs", "not-withdrawn")),
        ({"status": "withdrawn"}, [REPORT], [], ("found", "")),
        ({}, [REPORT], [{**JANE, "id": f"p{one}"} for one in range(5)], ("not checkable", "patients-many")),
    ],
)
async def test_what_the_charts_show_is_the_fate(tmp_path, sent, reports, patients, found):
    async with asking(tmp_path, *reports, patients=patients) as (client, there):
        told = await read_back(client, replace(SENT, **sent))
        assert (told.fate, told.detail) == found
        assert there.refused == []
        assert there.requests["Patient"] <= 2


async def test_the_first_look_does_not_search_other_charts(tmp_path):
    namesake = {**JANE, "id": "p2", "identifier": [{"value": "2"}]}
    moved = {**REPORT, "subject": {"reference": "Patient/p2"}}
    async with asking(tmp_path, moved, patients=[JANE, namesake]) as (client, there):
        assert (await read_back(client, SENT, looks_elsewhere=False)).fate == "absent"
        assert there.requests["Patient"] == 1


@pytest.mark.parametrize("kind", ["token", "Patient", "DiagnosticReport"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(status_code=503), "status-503"),
        (Response(status_code=429), "status-429"),
        (Response(status_code=403), "status-403"),
        (Response(status_code=404), "status-404"),
        (Response("[]"), "not-a-searchset"),
        (Response("<html>"), "not-understood"),
        (JSONResponse({**PAGE, "entry": MALFORMED}), "not-understood"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_an_ehr_that_is_down_or_throttles_or_refuses_us_says_nothing_of_a_report(tmp_path, kind, answer, reason):
    async with asking(tmp_path) as (client, there):
        there.spoils = lambda asked: answer if asked == kind else None
        with pytest.raises(EhrUnavailable) as raised, capture_logs() as logs:
            await read_back(client, SENT)
        is_throttled = answer.status_code in {429, 503}
        assert raised.value.reason == ("token-refused" if kind == "token" and not is_throttled else reason)
        assert "Doe" not in f"{logs}{raised.value}"


async def test_an_ehr_that_cannot_be_reached_says_nothing_of_a_report(tmp_path):
    async with asking(tmp_path, REPORT) as (client, _):
        pass
    with pytest.raises(EhrUnavailable, match="no-answer"):
        await read_back(client, SENT)


async def test_an_ehr_that_says_how_long_to_wait_is_heard(tmp_path):
    async with asking(tmp_path) as (client, there):
        at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
        for said, least, most in (("120", 120, 120), (at, 90, 100), ("soon", 0, 0), ("9999999", 86_400, 86_400)):
            there.spoils = lambda _, said=said: Response(status_code=429, headers={"Retry-After": said})
            with pytest.raises(EhrUnavailable) as raised:
                await read_back(client, SENT)
            assert least <= raised.value.wait <= most


async def test_a_search_that_is_refused_or_of_too_many_makes_a_report_not_checkable(tmp_path):
    page = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": [{"relation": "next", "url": "DiagnosticReport?page=2"}],
    }
    of_others = {**REPORT, "subject": {"reference": "Patient/p9"}}
    async with asking(tmp_path, REPORT) as (client, there):
        for kind, answer, detail in (
            ("Patient", Response(status_code=422), "search-refused"),
            ("Patient", JSONResponse(page), "patients-many"),
            ("DiagnosticReport", JSONResponse(page), "reports-many"),
            ("DiagnosticReport", JSONResponse({**PAGE, "entry": [{"resource": of_others}]}), "reports-of-others"),
        ):  # fmt: skip
            there.spoils = lambda asked, kind=kind, answer=answer: answer if asked == kind else None
            told = await read_back(client, SENT)
            assert (told.fate, told.detail) == ("not checkable", detail)
        assert there.requests["DiagnosticReport"] == 4 + 1


async def test_a_page_elsewhere_is_not_asked_for_and_gets_no_token(tmp_path):
    page = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": [{"relation": "next", "url": "https://evil.example/x"}],
    }
    async with asking(tmp_path) as (client, there):
        there.spoils = lambda asked: JSONResponse(page) if asked == "DiagnosticReport" else None
        with pytest.raises(EhrUnavailable, match="next-page-elsewhere"):
            await read_back(client, SENT)


async def test_requests_are_spread_evenly_over_the_hour(tmp_path, monkeypatch):
    waits = []
    async with asking(tmp_path, REPORT, requests_per_hour=360) as (client, _):
        at = clock.monotonic()

        async def sleep(seconds):
            waits.append(seconds)

        monkeypatch.setattr(clock, "monotonic", lambda: at)
        monkeypatch.setattr(clock, "sleep", sleep)
        await read_back(client, SENT)
        await read_back(client, SENT)
    assert waits == [10.0, 20.0, 30.0, 40.0]


async def test_without_its_key_nothing_is_asked(tmp_path):
    async with asking(tmp_path, REPORT) as (client, there):
        (tmp_path / "ehr.pem").unlink()
        with pytest.raises(EhrUnavailable, match="key-unreadable"):
            await client.reports("p1", None)
        assert there.requests == {}
    assert SearchRefused("x").reason == "x"
