"""The parts put together, over real sockets."""

import asyncio
import json
import logging
import os
import signal
from dataclasses import replace

import httpx
import pytest
import structlog
from fakes.facade import facade, resource_id, site
from pydantic import SecretStr

from gateway.app import create_app, serve
from gateway.errors import ConfigError
from gateway.serving import listening_socket, running
from gateway.settings import Configuration, Server, Settings, Upstream

KEYED = replace(site(), site_key=b"k" * 32)


def configuration(host="127.0.0.1", api_key="key", where=KEYED):
    upstream = Upstream(api_key=SecretStr(api_key) if api_key else None, base_url="http://127.0.0.1:1")
    settings = Settings.model_construct(upstream=upstream, server=Server(host=host, port=0))
    return Configuration(settings, where, "test")


@pytest.fixture
def log_lines(capsys):
    """What was written to stderr, decoded; logging is put back as it was."""
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
        (configuration(host="0.0.0.0"), "server.host"),
        (configuration(where=site()), "mapping.site_key"),
        (configuration(api_key=None), "AVARA_API_KEY"),
    ],
)
async def test_it_does_not_start_where_it_would_be_open_guessable_or_useless(wrong, key, log_lines):
    with pytest.raises(ConfigError) as error:
        await serve(wrong)
    assert error.value.key == key


async def test_it_serves_until_it_is_told_to_stop_and_says_that_nothing_is_stored(log_lines):
    serving = asyncio.create_task(serve(configuration()))
    while not any(line["event"] == "serving" for line in log_lines()):
        assert not serving.done()
        await asyncio.sleep(0.01)
    [line] = [line for line in log_lines() if line["event"] == "serving"]
    assert line["stored"] == "nothing-yet"
    async with httpx.AsyncClient() as client:
        response = await client.get(f"{line['fhir_base']}/metadata")
    assert response.json()["implementation"]["url"] == line["fhir_base"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await serving == 0
    assert log_lines()[-1]["event"] == "stopped"
    assert [one for one in log_lines() if one["event"] not in {"serving", "stopped", "foreign-log"}] == []


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


async def test_there_is_no_page_of_documentation_and_nothing_is_redirected():
    async with facade() as stage:
        for path in ("/docs", "/redoc", "/openapi.json", "/", "/fhir", "/fhir/"):
            assert (await stage.client.get(f"http://127.0.0.1:8800{path}")).status_code == 404


async def raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_hostile_request_lines_are_answered_and_never_served():
    app = create_app(configuration())
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
            assert (await raw(listener.getsockname()[1], without)).split(b" ")[1] == b"421"
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
            ("request-failed", "pdf-unavailable", "/Binary/{id}")
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
