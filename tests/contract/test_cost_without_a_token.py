"""Somebody without a token costs little: few function calls for a request, and few more for each byte of it (D40).

The number of calls in all threads is the same on a busy machine as on an idle one.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager

import pytest
from fakes.facade import facade
from fakes.inbox import SECRET
from pydantic import SecretStr

from gateway.auth.bearer import OPEN
from gateway.fhir_api.openapi.examples import Examples
from gateway.fhir_api.openapi.routes import document
from gateway.fhir_api.ops import routes as ops
from gateway.settings import Auth, Server, Webhook

HOST = "http://gateway.example"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
MOST_CALLS = 2_500  # of a request and its client, without its bytes
BYTES_A_CALL = 16
TRIES = 10
LONG = 16 * 1024
# What makes the same request dearer: bytes in each place that a request has, and forms of an answer
SHAPES = {
    "plain": {},
    "query": {"params": [("x", "1")] * (LONG // 8)},
    "accept": {"headers": {"Accept": ",".join(["application/fhir+xml;q=0.1"] * (LONG // 27))}},
    "encodings": {"headers": {"Accept-Encoding": ",".join(["gzip;q=0.1"] * (LONG // 11))}},
    "authorization": {"headers": {"Authorization": "Bearer " + "." * LONG}},
    "signature": {
        "headers": {"webhook-id": "a", "webhook-timestamp": "0", "webhook-signature": "v1,aaaa " * (LONG // 8)}
    },
    "form": {"data": {"client_assertion": "a." * (LONG // 2), "grant_type": "client_credentials"}},
    "body": {"content": b'{"id":"a"}' * (LONG // 2)},
    "xml": {"params": {"_format": "xml"}},
    "pretty": {"params": {"_pretty": "true"}},
    "elements": {"params": {"_elements": "name," * (LONG // 5)}},
}
OF_CLOSED = ("plain", "authorization", "xml")


class Calls:
    """Number of function calls of all threads while it counts."""

    def __init__(self):
        self.number, self.is_counting = 0, False

    def profile(self, frame, event, argument):
        """Count a call; the profiler of each thread calls this."""
        self.number += self.is_counting and event in {"call", "c_call"}

    @contextmanager
    def counted(self):
        """Count from 0 while the block runs."""
        self.number, self.is_counting = 0, True
        sys.setprofile(self.profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            self.is_counting = False


@pytest.fixture
def calls():
    """Return a counter that all threads which begin from now on report to."""
    calls = Calls()
    threading.setprofile(calls.profile)
    yield calls
    threading.setprofile(None)


def addresses(shape: str) -> list[str]:
    """List the open addresses; in some shapes also the closed ones, and some that are not there."""
    if shape not in OF_CLOSED:
        return sorted(OPEN)
    described = document(HOST, "1", Examples())["paths"]
    return sorted({*OPEN, *described, "/docs", "/openapi.json", "/nowhere", "/fhir", "/fhir/Nothing/1"})


def sent_bytes(request) -> int:
    heads = sum(len(name) + len(value) for name, value in request.headers.raw)
    return len(request.url.raw_path) + heads + len(request.content)


@pytest.fixture
async def stage(monkeypatch, calls):
    """Serve with authentication and a webhook secret; metrics are rendered once."""
    monkeypatch.setattr(ops, "EVERY", 3_600.0)
    groups = {
        "auth": Auth(mode="builtin"),
        "server": Server(public_url="https://gateway.example/fhir"),
        "webhook": Webhook(key=SecretStr(SECRET)),
    }
    async with facade(groups=groups) as stage:
        yield stage


@pytest.mark.full
@pytest.mark.parametrize("shape", SHAPES)
async def test_each_address_and_method_costs_few_calls_and_few_more_for_each_byte(stage, calls, shape):
    dear = {}
    for address in addresses(shape):
        for method in METHODS:
            url = HOST + address.replace("{", "").replace("}", "")
            request = stage.client.build_request(method, url, **SHAPES[shape])
            await stage.client.send(request)  # what is kept is made once
            most = MOST_CALLS + sent_bytes(request) // BYTES_A_CALL
            costs = [await cost(stage, calls, request)]
            while costs[-1] > most and len(costs) < TRIES:
                costs.append(await cost(stage, calls, request))
            if min(costs) > most:
                dear[f"{method} {address}"] = (costs, most)
    assert dear == {}


async def cost(stage, calls, request) -> int:
    """Return the calls of a request, among them what loops in the background happen to do meanwhile."""
    with calls.counted():
        answer = await stage.client.send(request)
    assert answer.status_code < 500 or request.url.path == "/readyz", request.url
    return calls.number
