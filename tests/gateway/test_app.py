"""The assembled application, over real sockets."""

import asyncio
import io
import json
import logging
import os
import re
import signal
import ssl
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import structlog
import trustme
from fakes.facade import BASE, facade, resource_id, site
from fakes.inbox import SECRET, body, signed
from fakes.store import rows
from pydantic import SecretStr

from gateway.app import API, ROLES, SYNC, create_app, serve
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.serving import listening_socket, running
from gateway.settings import Auth, Configuration, Database, Pdf, Server, Settings, Sync, Upstream, Webhook
from mappings.patient.identifiers import fhir_id

WRITABLE = {"reachable": True, "writable": True}
WEBHOOKS = "http://127.0.0.1:8800/webhooks/autoscribe"
KEYED = replace(site(), site_key=b"k" * 32)


@pytest.fixture
def configuration(tmp_path):
    """Build settings with an unreachable AutoScribe and a database of the test's own."""

    def make(host="127.0.0.1", api_key="key", where=KEYED, mode="none", **server):
        settings = Settings.model_construct(
            auth=Auth(mode=mode),
            upstream=Upstream(api_key=SecretStr(api_key) if api_key else None, base_url="http://127.0.0.1:1"),
            server=Server(host=host, port=0, **server),
            database=Database(url=SecretStr(f"sqlite:///{tmp_path / 'gateway.db'}")),
        )
        return Configuration(settings, where, "test")

    return make


@pytest.fixture
def log_lines(capsys):
    """Return the decoded lines on stderr; logging is restored afterwards."""
    root, written = logging.getLogger(), []
    handlers, level, before = root.handlers, root.level, structlog.get_config()

    def lines():
        written.extend(json.loads(line) for line in capsys.readouterr().err.splitlines())
        return written

    yield lines
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"host": "0.0.0.0"}, "server.host"),
        ({"mode": None}, "auth.mode"),
        ({"mode": "none"}, "--insecure"),
        ({"where": site()}, "mapping.site_key"),
        ({"api_key": None}, "AVARA_API_KEY"),
    ],
)
async def test_it_does_not_start_where_it_would_be_open_guessable_or_useless(configuration, wrong, key, log_lines):
    with pytest.raises(ConfigError) as error:
        await serve(configuration(**{"mode": "builtin"} | wrong))
    assert error.value.key == key


async def test_it_does_not_start_open_where_the_settings_ask_for_tokens(configuration):
    with pytest.raises(ConfigError) as error:
        await serve(configuration(mode="builtin"), (API,), insecure=True)
    assert (error.value.key, error.value.problem) == ("--insecure", 'given, and auth.mode is "builtin"')


async def test_it_does_not_start_for_work_that_it_does_not_know(configuration, tmp_path):
    with pytest.raises(ConfigError) as error:
        await serve(configuration(), (API, "cook"))
    assert (error.value.key, error.value.problem) == ("--roles", "no role 'cook'")
    assert "Roles are api, sync, feed, console." in str(error.value)
    assert list(tmp_path.iterdir()) == []


async def test_it_serves_until_it_is_told_to_stop(configuration, log_lines):
    serving = asyncio.create_task(serve(configuration(), (API,), insecure=True))
    while not any(line["event"] == "serving" for line in log_lines()):
        assert not serving.done()
        await asyncio.sleep(0.01)
    [line] = [line for line in log_lines() if line["event"] == "serving"]
    async with httpx.AsyncClient() as client:
        response = await client.get(f"{line['fhir_base']}/metadata")
    assert response.json()["implementation"]["url"] == line["fhir_base"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await serving == 0
    assert log_lines()[-1]["event"] == "stopped"
    assert [one for one in log_lines() if one["event"] not in {"serving", "stopped", "foreign-log"}] == []


async def test_it_serves_over_tls_and_says_so_in_its_links_and_metrics(configuration, log_lines, tmp_path):
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    serving = asyncio.create_task(serve(configuration(tls_certificate=tmp_path / "both.pem"), (API,), insecure=True))
    while not any(line["event"] == "serving" for line in log_lines()):
        assert not serving.done()
        await asyncio.sleep(0.01)
    [line] = [line for line in log_lines() if line["event"] == "serving"]
    assert line["fhir_base"].startswith("https://127.0.0.1:")
    async with httpx.AsyncClient(verify=trust) as client:
        statement = (await client.get(f"{line['fhir_base']}/metadata")).json()
        metrics = (await client.get(f"{line['fhir_base'].removesuffix('/fhir')}/metrics")).text
    assert statement["implementation"]["url"] == line["fhir_base"]
    assert re.search(r"http_certificate_expires_timestamp_seconds [1-9]", metrics)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await serving == 0


@pytest.mark.parametrize("roles", [(API,), (SYNC,)])
async def test_probes_and_metrics_can_have_a_listener_of_their_own(configuration, log_lines, roles):
    with listening_socket("127.0.0.1", 0) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    serving = asyncio.create_task(serve(configuration(management_listen=address), roles, insecure=True))
    while not any(line["event"] == "serving" for line in log_lines()):
        assert not serving.done()
        await asyncio.sleep(0.01)
    [line] = [line for line in log_lines() if line["event"] == "serving"]
    public = line["fhir_base"].removesuffix("/fhir")
    async with httpx.AsyncClient() as client:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.get(f"http://{address}{path}")).status_code == 200
            assert (await client.get(f"{public}{path}")).status_code == 404
        assert (await client.get(f"http://{address}/fhir/metadata")).status_code == 404
        counted = (await client.get(f"http://{address}/metrics")).text
    assert 'http_requests_total{method="GET",route="/livez",status="200"} 1.0' in counted
    os.kill(os.getpid(), signal.SIGTERM)
    assert await serving == 0


async def test_a_management_listener_in_use_is_named(configuration):
    with listening_socket("127.0.0.1", 0) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError) as error:
            await serve(configuration(management_listen=address), (API,), insecure=True)
    assert address in str(error.value)


async def test_it_does_not_start_with_a_certificate_that_cannot_serve(configuration, tmp_path):
    with pytest.raises(ConfigError) as error:
        await serve(configuration(tls_certificate=tmp_path / "none.pem"), (API,), insecure=True)
    assert error.value.key == "server.tls_certificate"


@pytest.mark.parametrize(
    ("server", "peer", "base"),
    [
        ({"trusted_proxies": ("10.0.0.1",)}, "10.0.0.1", "https://localhost/fhir"),
        ({"trusted_proxies": ("10.0.0.1",)}, "10.0.0.2", "http://localhost/fhir"),
        ({}, "10.0.0.1", "http://localhost/fhir"),
        ({"public_url": "https://reports.example/fhir"}, "10.0.0.2", "https://reports.example/fhir"),
    ],
)
async def test_behind_a_named_proxy_links_have_the_scheme_that_it_was_called_by(configuration, server, peer, base):
    app = create_app(configuration(**server), (API,))
    transport = httpx.ASGITransport(app, client=(peer, 4711))
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client,
    ):
        statement = (await client.get("/fhir/metadata")).json()
        described = (await client.get("/openapi.json")).json()
        searched = (await client.get("/fhir/Patient?identifier=a|b")).json()
    assert statement["implementation"]["url"] == base
    assert [one["url"] for one in described["servers"]] == [base.removesuffix("/fhir")]
    assert {one["url"].partition("/Patient")[0] for one in searched["link"]} == {base}


@contextmanager
def full_disk():
    """Redirect stderr to a full disk while the block runs."""
    with Path("/dev/full").open("wb", 0) as device, redirect_stderr(io.TextIOWrapper(device, write_through=True)):
        yield


async def test_it_serves_though_the_disk_of_its_log_is_full_and_counts_the_lines(configuration, log_lines):
    with listening_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with full_disk():
        serving = asyncio.create_task(serve(configuration().listening_on(None, port), (API,), insecure=True))
        async with httpx.AsyncClient() as client:
            metrics = ""
            while not re.search("^autoscribe_gateway_log_lines_dropped_total [1-9]", metrics, re.MULTILINE):
                assert not serving.done()
                with suppress(httpx.ConnectError):
                    metrics = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving == 0


async def test_a_gateway_that_does_not_crawl_asks_autoscribe_for_nothing_by_itself():
    async with facade(roles=(API,)) as stage:
        await asyncio.sleep(0.3)
        assert stage.requests == []
        index = (await ready(stage))["index"]
        assert (index["complete"], index["percent"]) == (False, "unknown")


@pytest.mark.parametrize("roles", [(API, SYNC), ROLES])
async def test_a_gateway_that_crawls_finds_all_that_autoscribe_has_and_says_when_it_has(roles):
    async with facade(roles=roles) as stage:
        before = await ready(stage)
        assert not before["index"]["complete"]
        found = await complete(stage)
        assert found["index"]["percent"] == 100
        assert found["index"]["age_seconds"] < 60
        assert (found["status"], found["store"], found["upstream"]["reachable"]) == ("ready", WRITABLE, True)
        response = await stage.get("DiagnosticReport?_lastUpdated=ge2020&_summary=count")
        assert response.json()["total"] == len(list(stage.reports()))
        assert "entry" not in response.json()
        assert int(response.headers["age"]) < 60
        metrics = (await stage.client.get("http://127.0.0.1:8800/metrics")).text
        assert 'autoscribe_gateway_loop_last_studies{loop="sweep"} 150.0' in metrics


async def test_a_signature_that_a_webhook_tells_of_is_in_the_index_without_a_crawl():
    webhook = Webhook(key=SecretStr(SECRET))
    async with facade(roles=(API, SYNC), groups={"webhook": webhook, "sync": Sync(open_interval=3600)}) as stage:
        await complete(stage)
        signature = stage.account.sign_new()
        path = f"DiagnosticReport?_id={fhir_id(signature.report_id)}&_total=accurate"
        content = body("report.delivered", reportId=signature.report_id, studyId=signature.study_id)
        stage.routes_seen()
        answer = await stage.client.post(WEBHOOKS, content=content, headers=signed(content, at=clock.now()))
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        for _ in range(200):
            if f"GET /studies/{signature.study_id}" in stage.routes_seen():
                break
            await asyncio.sleep(0.05)
        for _ in range(200):
            metrics = (await stage.client.get("http://127.0.0.1:8800/metrics")).text
            if 'webhook_work_total{outcome="done"} 1.0' in metrics:
                break
            await asyncio.sleep(0.05)
        stage.fail("500")
        assert (await stage.get(path)).json()["total"] == 1


async def test_a_gateway_that_only_serves_records_webhooks_for_another_that_works_them_off():
    async with facade(roles=(API,), groups={"webhook": Webhook(key=SecretStr(SECRET))}) as stage:
        report = stage.signed()
        content = body("report.delivered", reportId=report["reportId"], studyId=report["studyId"])
        answer = await stage.client.post(WEBHOOKS, content=content, headers=signed(content, at=clock.now()))
        assert answer.status_code == 200
        await asyncio.sleep(0.2)
        assert stage.requests == []
        [row] = await rows(stage.app.state.facade.engine, "SELECT state FROM webhook")
        assert row == ("waiting",)


@pytest.mark.parametrize(("ingest", "fetched"), [("fetch", True), ("link", False)])
async def test_pdfs_are_fetched_to_be_kept_where_the_site_keeps_them(ingest, fetched):
    async with facade(roles=(API, SYNC), groups={"pdf": Pdf(ingest=ingest)}) as stage:
        await complete(stage)
        for _ in range(100 if fetched else 5):
            found = await rows(stage.app.state.facade.engine, "SELECT count(*) FROM pdf WHERE state = 'kept'")
            if found != [(0,)]:
                break
            await asyncio.sleep(0.1)
        assert (found != [(0,)]) is fetched
        assert any(one.startswith("GET /reports/pdf") for one in stage.requests) is fetched


async def complete(stage):
    """Return the answer of `/readyz` once the index is complete."""
    for _ in range(600):
        if (found := await ready(stage))["index"]["complete"]:
            return found
        await asyncio.sleep(0.1)
    raise TimeoutError


async def ready(stage):
    response = await stage.client.get("http://127.0.0.1:8800/readyz")
    assert response.status_code == 200
    return response.json()


async def test_a_store_of_another_site_is_refused(configuration):
    async with running_once(configuration()):
        pass
    with pytest.raises(ConfigError) as error:
        async with running_once(configuration(where=replace(KEYED, site_key=b"x" * 32))):
            pass
    assert error.value.key == "mapping.site_key"
    assert "not the one of this database" in str(error.value)
    async with running_once(configuration()):
        pass


async def test_two_gateways_do_not_serve_from_one_file(configuration):
    async with running_once(configuration()):
        with pytest.raises(ConfigError) as error:
            async with running_once(configuration()):
                pass
        assert error.value.key == "database.url"


def running_once(configuration):
    """The lifespan of an application."""
    app = create_app(configuration, (API,))
    return app.router.lifespan_context(app)


async def test_a_read_that_succeeds_writes_no_line_and_one_that_fails_writes_one():
    async with facade() as stage:
        with structlog.testing.capture_logs() as lines:
            await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")
            assert lines == []
            response = await stage.get("Patient/pat-1?x=1")
        assert lines == [
            {
                "event": "request-refused",
                "log_level": "warning",
                "route": "/Patient/{id}",
                "method": "GET",
                "status": 404,
                "code": "resource-not-found",
                "request_id": response.headers["x-request-id"],
            }
        ]


async def test_a_process_that_only_crawls_answers_its_probes_and_nothing_of_a_patient():
    async with facade(roles=(SYNC,)) as stage:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await stage.client.get(f"http://127.0.0.1:8800{path}")).status_code in {200, 503}
        for path in ("/fhir", "/fhir/metadata", "/fhir/Patient/pat-1", "/docs", "/openapi.json"):
            assert (await stage.client.get(f"http://127.0.0.1:8800{path}")).status_code == 404
        assert (await stage.client.post("http://127.0.0.1:8800/webhooks/autoscribe")).status_code == 404


async def test_nothing_is_redirected():
    async with facade() as stage:
        for path in ("/redoc", "/", "/docs/", "/console", "/webhooks", "/webhooks/autoscribe/", "/readyz/"):
            assert (await stage.client.get(f"http://127.0.0.1:8800{path}")).status_code == 404
        for path in (BASE, f"{BASE}/"):
            assert (await stage.client.get(path)).status_code == 405


async def raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_hostile_request_lines_are_answered_and_never_served(configuration):
    app = create_app(configuration(), (API,))
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(app, listener):
            for target in (
                b"/fhir/../../etc/passwd",
                b"/fhir/DiagnosticReport/\xff\xfe",
                b"/fhir/%c0%ae%c0%ae/",
                b"//x",
            ):
                head = b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                answer = await raw(listener.getsockname()[1], head)
                assert int(answer.split(b" ")[1]) in {400, 404}
            without = b"GET /fhir/metadata HTTP/1.0\r\n\r\n"
            assert (await raw(listener.getsockname()[1], without)).split(b" ")[1] == b"400"
            foreign = b"GET /fhir/metadata HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
            assert (await raw(listener.getsockname()[1], foreign)).split(b" ")[1] == b"421"
            head = b"HEAD /fhir/metadata HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answer = await raw(listener.getsockname()[1], head)
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"\r\n\r\n")


async def test_a_pdf_that_breaks_off_behind_the_gateway_breaks_off_in_front_of_it():
    async with facade() as stage:
        report_id = resource_id(stage.signed())
        stage.fail("cut-off:path=/storage")
        with listening_socket("127.0.0.1", 0) as listener, structlog.testing.capture_logs() as lines:
            app = create_app_again(stage)
            async with running(app, listener), httpx.AsyncClient() as client:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/fhir/Binary/{report_id}-pdf"
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(url)
        assert [(line["event"], line["code"], line["route"]) for line in lines if "code" in line] == [
            ("request-failed", "pdf-interrupted", "/Binary/{id}")
        ]


def create_app_again(stage):
    """The application without its lifespan, which the stage has entered already."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await stage.app(scope, receive, send)

    return app


async def test_a_pdf_is_streamed_to_a_client_that_goes_away_without_an_error():
    async with facade() as stage:
        report_id = resource_id(stage.signed())
        with listening_socket("127.0.0.1", 0) as listener, structlog.testing.capture_logs() as lines:
            async with running(create_app_again(stage), listener):
                port = listener.getsockname()[1]
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET /fhir/Binary/{report_id}-pdf HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                await writer.drain()
                writer.close()
                await asyncio.sleep(0.2)
        assert [line for line in lines if line["event"].startswith("request")] == []
