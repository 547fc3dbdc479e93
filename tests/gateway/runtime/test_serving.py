"""Serve on a socket inside an event loop that the caller runs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from contextlib import asynccontextmanager
from urllib.request import urlopen

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.runtime.errors import ConfigError, StoreUnavailable
from gateway.runtime.serving import listening_socket, running, running_apart
from gateway.runtime.signals import stop_signal

HELLO = Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello"))])


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with listening_socket("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="choose another port"):
        listening_socket("127.0.0.1", taken.getsockname()[1])


def test_an_ipv6_loopback_can_be_listened_on() -> None:
    with listening_socket("::1", 0) as listener:
        assert listener.family == socket.AF_INET6


async def test_an_application_is_served_while_the_block_runs_and_not_after() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with running(HELLO, listener), httpx.AsyncClient() as client:
            answer = await client.get(url)
            assert (answer.text, "server" in answer.headers) == ("hello", False)
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_an_application_that_cannot_start_is_an_error_and_not_a_wait_without_end() -> None:
    async def broken(scope, receive, send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with listening_socket("127.0.0.1", 0) as listener, pytest.raises(ConfigError, match="did not start"):
        async with running(broken, listener):
            raise AssertionError("it must not come here")


@pytest.mark.parametrize("error", [ConfigError("a", "b", "another has it", "Stop it."), StoreUnavailable("locked")])
async def test_what_stopped_an_application_from_starting_is_said(error) -> None:
    @asynccontextmanager
    async def broken(_):
        raise error
        yield

    with listening_socket("127.0.0.1", 0) as listener, pytest.raises(type(error)) as caught:
        async with running(Starlette(lifespan=broken), listener):
            raise AssertionError("it must not come here")
    assert caught.value is error


async def test_an_error_of_ours_that_a_request_ends_in_stops_nothing() -> None:
    def fails(_):
        raise StoreUnavailable("locked")

    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello")), Route("/fails", fails)])
    with listening_socket("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with running(app, listener), httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/fails")).status_code == 500
            assert (await client.get(url)).text == "hello"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_sets_the_event_and_ends_nothing_by_itself(number: int) -> None:
    async with stop_signal() as stop:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 60)


async def test_an_application_apart_answers_while_this_loop_is_busy() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with running_apart(HELLO, listener) as server:
            with urlopen(url) as answer:  # noqa: ASYNC210 (this loop is busy until the answer is there)
                assert answer.read() == b"hello"
            assert not server.done()
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_an_application_apart_answers_on_uvloop() -> None:
    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse(type(asyncio.get_running_loop()).__module__)

    with listening_socket("127.0.0.1", 0) as listener:
        async with running_apart(Starlette(routes=[Route("/", hello)]), listener), httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert answer.text == "uvloop"


async def test_what_stopped_an_application_apart_from_starting_is_said() -> None:
    @asynccontextmanager
    async def broken(_):
        raise StoreUnavailable("locked")
        yield

    with listening_socket("127.0.0.1", 0) as listener, pytest.raises(StoreUnavailable, match="locked"):
        async with running_apart(Starlette(lifespan=broken), listener):
            raise AssertionError("it must not come here")


@pytest.mark.parametrize("serving", [running, running_apart])
async def test_a_request_that_is_cancelled_at_the_end_can_still_write(serving) -> None:
    happened, begun = [], threading.Event()

    @asynccontextmanager
    async def lifespan(_):
        yield
        happened.append("closed")

    async def slow(_) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
            happened.append("written")

    app = Starlette(routes=[Route("/", slow)], lifespan=lifespan)
    with listening_socket("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with httpx.AsyncClient() as client:
            async with serving(app, listener):
                asking = asyncio.create_task(client.get(url))
                await asyncio.to_thread(begun.wait, 30)
            await asyncio.gather(asking, return_exceptions=True)
    assert happened == ["written", "closed"]
