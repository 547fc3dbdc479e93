"""RFC 9110 §7.2: a request addressed to another name is refused (DNS rebinding)."""

from dataclasses import replace

import pytest
from fakes.outcomes import issue, refusal

from gateway.fhir_api.http.perimeter import KnownHosts


@pytest.mark.parametrize("host", ["127.0.0.1:8800", "localhost", "LOCALHOST:1", "[::1]:8800", "127.9.9.9"])
async def test_loopback_names_pass_on_any_port(stage, host):
    assert (await stage.get("metadata", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io", "", "[", "a:b:c"]
)
async def test_other_names_are_refused(stage, host):
    response = await stage.get("metadata", headers={"Host": host})
    assert refusal(response) == (421, "error", "security")
    assert issue(response)["detail"] == "wrong-host"
    assert "evil" not in response.text


async def test_two_host_headers_are_refused_and_a_name_of_the_site_passes():
    passed = []

    async def app(scope, receive, send):
        passed.append(scope)

    async def send(message):
        sent.append(message)

    for hosts, expected in ((["gateway.example"], 1), (["gateway.example", "localhost"], 1), ([], 1)):
        sent = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/fhir/metadata",
            "headers": [(b"host", one.encode()) for one in hosts],
        }
        await KnownHosts(app, ["Gateway.Example"])(scope, None, send)
        assert len(passed) == expected
        assert sent == [] or sent[0]["status"] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/webhooks/autoscribe", 503), ("GET", "/livez", 200), ("GET", "/readyz", 200), ("GET", "/metrics", 200)],
)
@pytest.mark.parametrize("host", ["gateway.hospital.example", "10.0.0.1:8800", ""])
async def test_webhooks_and_probes_may_call_the_gateway_by_any_name(stage, method, path, status, host):
    url = f"http://127.0.0.1:8800{path}"
    assert (await stage.client.request(method, url, headers={"Host": host})).status_code == status


@pytest.mark.parametrize("path", ["/livez/", "/fhir/livez", "//livez", "/webhooks/autoscribe/x", "/metrics%2f", "/"])
async def test_no_other_address_may_be_called_by_any_name(stage, path):
    response = await stage.client.get(f"http://127.0.0.1:8800{path}", headers={"Host": "evil.example"})
    assert refusal(response) == (421, "error", "security")


async def test_the_public_url_is_the_base_when_the_site_sets_one(stage):
    stage.app.state.facade = replace(stage.app.state.facade, public_url="https://fhir.example/r4")
    assert (await stage.get("metadata")).json()["implementation"]["url"] == "https://fhir.example/r4"
