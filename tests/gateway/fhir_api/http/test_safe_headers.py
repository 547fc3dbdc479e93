"""RFC 9111 §5.2.2.5, and the Fetch standard: no answer is stored, sniffed, or embedded in a page of another site."""

from __future__ import annotations

import pytest
from fakes.facade import facade, resource_id

from gateway.settings import Server

HERE = "http://127.0.0.1:8800"
GUARDS = {
    "cache-control": ["no-store"],
    "x-content-type-options": ["nosniff"],
    "cross-origin-resource-policy": ["same-origin"],
}


def guards(response):
    return {name: response.headers.get_list(name) for name in GUARDS}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/fhir/metadata", {}, 200),
        ("HEAD", "/fhir/metadata", {}, 200),
        ("GET", "/fhir/Nothing/x", {}, 404),
        ("DELETE", "/fhir/Patient/x", {}, 405),
        ("GET", "/fhir/Patient?name=", {}, 400),
        ("GET", "/nothing", {}, 404),
        ("GET", "/fhir/metadata", {"Host": "evil.example"}, 421),
        ("GET", "/docs", {}, 200),
        ("GET", "/openapi.json", {}, 200),
        ("GET", "/livez", {}, 200),
        ("GET", "/readyz", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("POST", "/webhooks/autoscribe", {}, 503),
    ],
)
async def test_no_answer_is_stored_sniffed_or_embedded_elsewhere(stage, method, path, headers, status):
    response = await stage.client.request(method, HERE + path, headers=headers)
    assert response.status_code == status
    assert guards(response) == GUARDS


async def test_neither_is_a_document_of_a_report(stage):
    for kind in ("pdf", "text"):
        response = await stage.get(f"Binary/{resource_id(stage.signed())}-{kind}")
        assert response.status_code == 200
        assert guards(response) == GUARDS


async def test_neither_is_the_answer_that_nothing_changed(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    tag = (await stage.get(path)).headers["etag"]
    response = await stage.get(path, headers={"If-None-Match": tag})
    assert response.status_code == 304
    assert guards(response) == GUARDS


async def test_a_site_may_let_clients_keep_what_a_fhir_get_answers_and_nothing_else():
    kept = {**GUARDS, "cache-control": ["private, no-cache"]}
    async with facade(groups={"server": Server(revalidation=True)}) as stage:
        path = f"DiagnosticReport/{resource_id(stage.signed())}"
        first = await stage.get(path)
        same = await stage.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (first.status_code, same.status_code) == (200, 304)
        assert guards(first) == guards(same) == guards(await stage.get("metadata")) == kept
        assert guards(await stage.get("Nothing/x")) == GUARDS
        assert guards(await stage.post("Patient/_search", data={"_id": "x"})) == GUARDS
        assert guards(await stage.client.get(f"{HERE}/docs")) == GUARDS
        assert guards(await stage.client.get(f"{HERE}/livez")) == GUARDS
