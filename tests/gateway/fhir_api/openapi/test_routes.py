"""https://spec.openapis.org/oas/v3.1.1.html#server-object"""

from dataclasses import replace

import pytest

from gateway.runtime.metrics import PREFIX

ROOT = "http://127.0.0.1:8800"


@pytest.mark.parametrize(
    ("public_url", "server"),
    [
        (None, ROOT),
        ("https://gateway.example/fhir", "https://gateway.example"),
        ("https://gateway.example/site/fhir", "https://gateway.example/site"),
        ("https://gateway.example/r4", ROOT),
    ],
)
async def test_the_server_is_the_address_that_clients_see_where_its_paths_are_as_here(stage, public_url, server):
    stage.app.state.facade = replace(stage.app.state.facade, public_url=public_url)
    document = (await stage.client.get(f"{ROOT}/openapi.json")).json()
    assert document["servers"] == [{"url": server}]


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_nobody_keeps_it_and_it_is_counted_by_its_address(stage, path):
    response = await stage.client.get(f"{ROOT}{path}")
    assert response.headers["cache-control"] == "no-store"
    metrics = (await stage.client.get(f"{ROOT}/metrics")).text
    assert f'{PREFIX}http_requests_total{{method="GET",route="{path}",status="200"}} 1.0' in metrics


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_it_is_not_given_to_another_host_and_not_written(stage, path):
    assert (await stage.client.get(f"{ROOT}{path}", headers={"Host": "other.example"})).status_code == 421
    assert (await stage.client.post(f"{ROOT}{path}")).status_code == 405


async def test_the_version_is_that_of_the_gateway(stage):
    document = (await stage.client.get(f"{ROOT}/openapi.json")).json()
    assert document["info"]["version"] == stage.app.state.ops.version
