"""RFC 7239: headers of named proxies are believed, spoofed ones are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fhir_api.http.perimeter import TrustedProxies

PROXIES = ("10.0.0.0/24", "2001:db8::5")
FOR, PROTO, NEW = "x-forwarded-for", "x-forwarded-proto", "forwarded"


async def seen(peer, *headers):
    """Return the client and the scheme of a request from that peer, as the application sees them."""
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)

    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "scheme": "http", "client": peer and (peer, 4711), "headers": lines}
    await TrustedProxies(app, PROXIES)(scope, None, None)
    return scopes[0]["client"] and scopes[0]["client"][0], scopes[0]["scheme"]


@pytest.mark.parametrize(
    ("headers", "client", "scheme"),
    [
        ([], "10.0.0.1", "http"),
        ([(FOR, "192.0.2.7")], "192.0.2.7", "http"),
        ([(FOR, "192.0.2.7:5000"), (PROTO, "https")], "192.0.2.7", "https"),
        ([(FOR, "[2001:db8::9]:5000")], "2001:db8::9", "http"),
        ([(FOR, "2001:db8::9")], "2001:db8::9", "http"),
        ([(NEW, 'for=192.0.2.7;proto=https;by="_gateway"')], "192.0.2.7", "https"),
        ([(NEW, 'For="[2001:db8::9]:5000"; Proto=HTTPS')], "2001:db8::9", "https"),
        ([(NEW, "for=192.0.2.7, for=10.0.0.2;proto=https")], "192.0.2.7", "https"),
        ([(NEW, "for=192.0.2.7"), (NEW, "for=10.0.0.2;proto=https")], "192.0.2.7", "https"),
    ],
)
async def test_a_named_proxy_says_the_client_and_the_scheme(headers, client, scheme):
    assert await seen("10.0.0.1", *headers) == (client, scheme)


@pytest.mark.parametrize("peer", ["192.0.2.66", "10.0.1.1", "2001:db8::6", "::1", None])
@pytest.mark.parametrize("headers", [[(FOR, "10.0.0.1"), (PROTO, "https")], [(NEW, "for=10.0.0.1;proto=https")]])
async def test_headers_of_anybody_else_are_ignored(peer, headers):
    assert await seen(peer, *headers) == (peer, "http")


@pytest.mark.parametrize("written", ["10.0.0.3", "203.0.113.1", "127.0.0.1", "10.0.0.1, 10.0.0.2", "unknown", "', \""])
async def test_what_the_client_wrote_itself_is_left_of_its_address_and_is_not_believed(written):
    assert (await seen("10.0.0.1", (FOR, f"{written}, 192.0.2.7")))[0] == "192.0.2.7"
    assert (await seen("10.0.0.1", (FOR, written), (FOR, "192.0.2.7")))[0] == "192.0.2.7"
    assert (await seen("10.0.0.1", (FOR, f"{written}, 192.0.2.7, 10.0.0.2")))[0] == "192.0.2.7"


async def test_behind_trusted_proxies_alone_the_first_one_is_the_client():
    assert (await seen("10.0.0.1", (FOR, "10.0.0.3, 2001:db8::5, 10.0.0.2")))[0] == "10.0.0.3"


@pytest.mark.parametrize("node", ["unknown", "_hidden", "", "example.org", "192.0.2", "fe80::1%eth0", "192.0.2.7:port"])
async def test_a_client_that_the_proxy_does_not_name_is_the_proxy(node):
    assert (await seen("10.0.0.1", (FOR, f"192.0.2.9, {node}")))[0] == "10.0.0.1"


async def test_a_header_of_the_other_kind_that_a_proxy_passes_on_spoofs_nothing():
    old, new = [(FOR, "192.0.2.7"), (PROTO, "https")], [(NEW, "for=203.0.113.1;proto=https")]
    assert await seen("10.0.0.1", *old, *new) == ("10.0.0.1", "http")
    assert await seen("10.0.0.1", (PROTO, "https"), *new) == ("10.0.0.1", "http")


@pytest.mark.parametrize(
    "malformed",
    ["for", "for=192.0.2.7;", "for=192.0.2.7;for=192.0.2.8", 'for="192.0.2.7', ",for=192.0.2.7", "for=192.0.2.7 x"],
)
async def test_a_malformed_header_is_not_believed_at_all(malformed):
    assert await seen("10.0.0.1", (NEW, f"{malformed}, for=192.0.2.9;proto=https")) == ("10.0.0.1", "http")


@pytest.mark.parametrize(
    ("said", "scheme"), [("https, http", "http"), ("http, https", "https"), ("javascript", "http"), ("", "http")]
)
async def test_the_scheme_is_the_one_that_the_nearest_proxy_was_called_by(said, scheme):
    assert (await seen("10.0.0.1", (PROTO, said)))[1] == scheme


async def test_an_ipv4_address_in_ipv6_form_is_the_same_address():
    assert (await seen("::ffff:10.0.0.1", (FOR, "::ffff:192.0.2.7")))[0] == "192.0.2.7"


@given(st.lists(st.tuples(st.sampled_from([FOR, PROTO, NEW]), st.text(st.characters(max_codepoint=255)))))
async def test_whatever_the_headers_say_the_client_is_an_address_and_the_scheme_one_of_two(headers):
    client, scheme = await seen("10.0.0.1", *headers)
    assert set(client) <= set("0123456789abcdef.:")
    assert scheme in {"http", "https"}


async def test_other_connections_pass_unchanged():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)

    await TrustedProxies(app, PROXIES)({"type": "lifespan"}, None, None)
    assert scopes == [{"type": "lifespan"}]
