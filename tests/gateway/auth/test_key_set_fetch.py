"""A key set is fetched from a host of the internet alone, whole and small, or not at all.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme
from fakes.assertions import jwks
from fakes.listening import listening
from fakes.ports import free_port

from gateway.auth.key_set import MOST_BYTES
from gateway.auth.key_set_fetch import KeySetFetch, KeySetUnreachable, is_public, resolved, url_fault

DOCUMENT = jwks("RS384 a")
CA = trustme.CA()
CERTIFICATE = CA.issue_cert("jwks.example", "localhost", "127.0.0.1")


def answer(body, status="200 OK", *headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def host(said, *, delay=0.0, endless=b""):
    """Serve bytes over TLS to each request; yield the port and the requests that came."""
    context, requests = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), []
    CERTIFICATE.configure_cert(context)

    async def serve(reader, writer):
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(delay)
            writer.write(said)
            while endless:
                writer.write(endless)
                await writer.drain()
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with listening(serve, tls=context) as port:
        yield port, requests


def fetch(**changes):
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return KeySetFetch(**{"allows_private": True, "context": context, **changes})


async def reason(fetching, url):
    with pytest.raises(KeySetUnreachable) as failed:
        await fetching(url)
    return failed.value.reason


async def test_a_document_is_read_whole_and_nothing_but_its_host_is_told_to_the_host():
    async with host(answer(DOCUMENT)) as (port, requests):
        assert await fetch()(f"https://localhost:{port}/jwks?set=1") == DOCUMENT
    [request] = requests
    assert request.startswith(b"GET /jwks?set=1 HTTP/1.1\r\n")
    assert {line.split(b":")[0].lower() for line in request.split(b"\r\n")[1:] if line} == {
        b"host",
        b"accept",
        b"accept-encoding",
    }


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(b"", "302 Found", "Location: https://localhost/other"), "status-302"),
        (answer(DOCUMENT, "404 Not Found"), "status-404"),
        (answer(DOCUMENT, "206 Partial Content"), "status-206"),
        (answer(gzip.compress(b" " * 2**24), "200 OK", "Content-Encoding: gzip"), "compressed"),
        (answer(b" " * (MOST_BYTES + 1)), "too-large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", "no-answer"),
        (b"no HTTP at all\r\n\r\n", "no-answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000, "no-answer"),
    ],
)
async def test_what_is_no_plain_small_document_is_not_read(said, why):
    async with host(said) as (port, _):
        assert await reason(fetch(), f"https://localhost:{port}/") == why


async def test_an_endless_answer_is_cut_off_at_the_limit():
    async with host(b"HTTP/1.1 200 OK\r\n\r\n", endless=b"x" * 4_096) as (port, _):
        assert await reason(fetch(), f"https://localhost:{port}/") == "too-large"


async def test_a_slow_host_has_so_many_seconds_in_all():
    async with host(answer(DOCUMENT), delay=5) as (port, _):
        assert await reason(fetch(patience=0.2), f"https://localhost:{port}/") == "too-slow"


async def test_a_certificate_of_another_name_or_of_nobody_is_refused():
    async with host(answer(DOCUMENT)) as (port, requests):

        async def here(name, at):
            return ["127.0.0.1"]

        assert await reason(fetch(resolve=here), f"https://other.example:{port}/") == "no-answer"
        assert await reason(fetch(context=ssl.create_default_context()), f"https://localhost:{port}/") == "no-answer"
        assert await fetch(resolve=here)(f"https://jwks.example:{port}/") == DOCUMENT
    assert len(requests) == 1


async def test_nobody_who_listens_is_no_answer():
    assert await reason(fetch(), f"https://localhost:{free_port()}/") == "no-answer"
    assert await reason(fetch(), "https://name.invalid/") == "no-answer"
    assert await reason(KeySetFetch(), "https://no..name/") == "no-answer"


async def test_a_private_address_is_refused_though_only_one_of_several_is():
    async with host(answer(DOCUMENT)) as (port, requests):
        for addresses in (["127.0.0.1"], ["203.0.114.7", "10.0.0.1"], ["::ffff:127.0.0.1"]):

            async def here(name, at, addresses=addresses):
                return addresses

            refusing = fetch(allows_private=False, resolve=here)
            assert await reason(refusing, f"https://jwks.example:{port}/") == "private-address"
        for name in ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"):
            assert await reason(fetch(allows_private=False), f"https://{name}:{port}/") == "private-address"
    assert requests == []


async def test_the_checked_address_is_the_one_that_is_connected_to_since_a_name_is_resolved_once():
    answers = iter([["127.0.0.1"], ["203.0.114.7"]])

    async def turning(name, at):
        return next(answers)

    async with host(answer(DOCUMENT)) as (port, _):
        assert await fetch(resolve=turning)(f"https://jwks.example:{port}/") == DOCUMENT
    assert next(answers) == ["203.0.114.7"], "the second answer of the DNS was never asked for"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1"),
        *("64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1"),
    ],
)
def test_addresses_for_special_purposes_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["203.0.114.7", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(address)


async def test_the_system_resolves_a_name_into_addresses_without_repeats():
    assert "127.0.0.1" in await resolved("localhost", 443)


@pytest.mark.parametrize(
    "url",
    [
        *("http://jwks.example/", "jwks.example", "https://", "https://user:secret@jwks.example/", "https://a/#b"),
        *("https://[::1", "https://a/ b", "https://a/\n", "https://é.example/", "https://a\\b/", "https://a:0/"),
        *("file:///etc/passwd", "https://a/" + "x" * 2_048),
    ],
)
async def test_a_url_that_is_not_plain_https_is_refused(url):
    assert url_fault(url)
    assert await reason(fetch(), url) == "url"
