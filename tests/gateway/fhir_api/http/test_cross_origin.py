"""The Fetch standard's CORS protocol: a web page reads FHIR answers if its origin is listed, and only then."""

from __future__ import annotations

import pytest
from fakes.facade import facade, resource_id
from pydantic import ValidationError

from gateway.settings import Server

APP = "https://viewer.hospital.example"
HERE = "http://127.0.0.1:8800"
ASKS = {"Origin": APP, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
async def open_stage():
    async with facade(groups={"server": Server(cors_origins=(APP,))}) as stage:
        yield stage


def cors(response):
    return {name for name in response.headers if name.startswith("access-control-")}


async def test_without_a_list_no_page_reads_anything(stage):
    response = await stage.get("metadata", headers={"Origin": APP})
    assert cors(response) == set()
    assert "Origin" not in response.headers["vary"]
    preflight = await stage.client.options(f"{HERE}/fhir/metadata", headers=ASKS)
    assert (preflight.status_code, cors(preflight)) == (405, set())


async def test_a_page_of_a_listed_origin_reads_an_answer_with_its_headers(open_stage):
    response = await open_stage.get(f"DiagnosticReport/{resource_id(open_stage.signed())}", headers={"Origin": APP})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP
    exposed = set(response.headers["access-control-expose-headers"].split(", "))
    assert exposed == {"ETag", "Last-Modified", "Location", "Retry-After", "X-Request-Id"}
    assert "Origin" in response.headers["vary"].split(", ")
    assert "access-control-allow-credentials" not in response.headers


async def test_it_also_reads_why_it_was_refused(open_stage):
    response = await open_stage.get("Patient/x y", headers={"Origin": APP})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (404, APP)


async def test_its_preflight_names_what_it_may_send_and_reaches_no_handler(open_stage):
    open_stage.routes_seen()
    path = f"{HERE}/fhir/DiagnosticReport/{resource_id(open_stage.signed())}"
    response = await open_stage.client.options(path, headers=ASKS)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == APP
    assert set(response.headers["access-control-allow-methods"].split(", ")) == {"GET", "HEAD", "POST"}
    assert {"Authorization", "If-Match", "Idempotency-Key"} <= set(
        response.headers["access-control-allow-headers"].split(", ")
    )
    assert response.headers["cache-control"] == "no-store"
    assert open_stage.routes_seen() == []


@pytest.mark.parametrize(
    "origins",
    [
        ["https://evil.example"],
        ["null"],
        ["*"],
        [""],
        [APP.upper()],
        [f"{APP}:443"],
        [f"{APP}.evil.example"],
        [f"https://evil.example/{APP}"],
        ["http://viewer.hospital.example"],
        [APP, APP],
        [APP, "https://evil.example"],
        [f"{APP}, https://evil.example"],
    ],
)
async def test_no_other_origin_is_let_in_however_it_is_spelled(open_stage, origins):
    headers = [("Origin", one) for one in origins]
    response = await open_stage.get("metadata", headers=headers)
    assert (response.status_code, cors(response)) == (200, set())
    assert "Origin" in response.headers["vary"].split(", ")
    asks = [*headers, ("Access-Control-Request-Method", "GET")]
    preflight = await open_stage.client.options(f"{HERE}/fhir/metadata", headers=asks)
    assert (preflight.status_code, cors(preflight)) == (405, set())


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/webhooks/autoscribe", "/docs"])
async def test_what_is_not_fhir_is_read_by_no_page(open_stage, path):
    response = await open_stage.client.get(HERE + path, headers={"Origin": APP})
    assert cors(response) == set()


async def test_a_listed_origin_does_not_open_the_gateway_under_another_name(open_stage):
    response = await open_stage.client.options(f"{HERE}/fhir/metadata", headers={**ASKS, "Host": "evil.example"})
    assert (response.status_code, cors(response)) == (421, set())


@pytest.mark.parametrize(
    "origin", ["*", "null", "https://*.example", "https://a.example/", "viewer.example", "https://A.example", "ftp://a"]
)
def test_a_list_holds_origins_as_browsers_write_them_and_no_pattern(origin):
    with pytest.raises(ValidationError):
        Server(cors_origins=(origin,))
