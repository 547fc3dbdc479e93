"""Fetch a key set, a discovery document or a token from its URL: https, no redirect, no compression, 64 kB, 5 seconds.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html (registering a client by URL), RFC 9110
§15.4 (redirects), https://www.encode.io/httpcore/network-backends/, RFC 6890 (addresses for special purposes). The URL
is an operator's or an issuer's; its host is never told why it is asked. Its name is resolved once, every address is
checked, and a checked one is connected to, so that no second answer of the DNS can lead into the site's own network
(DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpcore

from gateway.auth.key_set import MOST_BYTES
from gateway.runtime.tls import SHOWN

Resolve = Callable[[str, int], Awaitable[list[str]]]
# IPv6 networks whose addresses hold an IPv4 address, which may be private: NAT64 (RFC 6052) and 6to4 (RFC 3056)
_TRANSLATED: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))


class AddressRefused(Exception):
    """Host has an address that is not public."""


def is_public(address: str) -> bool:
    """True for a public address; not for private, loopback, link-local, multicast and translated ones."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if any(ip in network for network in _TRANSLATED if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast


async def resolved(host: str, port: int) -> list[str]:
    """Resolve the name of a host to its addresses."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connect only to hosts whose addresses are all public; with `allows_private`, to any host."""

    def __init__(self, *, allows_private: bool, resolve: Resolve = resolved) -> None:
        self._inner, self._allows_private, self._resolve = httpcore.AnyIOBackend(), allows_private, resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers.

        Raises:
            AddressRefused: one of the host's addresses is not public.
        """
        addresses = await self._resolve(host, port)
        if not self._allows_private and not all(map(is_public, addresses)):
            raise AddressRefused
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        if not addresses:
            raise httpcore.ConnectError
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


PATIENCE: Final = 5.0
LONGEST_URL: Final = 2_048
_HEADERS: Final = [("Accept", "application/jwk-set+json, application/json"), ("Accept-Encoding", "identity")]
# UnicodeError: a name that no host can have. All errors of TLS and of names are OSErrors
_NO_ANSWER: Final = (OSError, UnicodeError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class KeySetUnreachable(Exception):
    """A document could not be fetched; `reason` is a fixed code for the log."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def url_fault(url: str) -> str:
    """Return what is wrong with the URL of a document, empty if nothing is."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "not a URL"
    if not is_url or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "not an https URL"
    if parts.username is not None or parts.fragment:
        return "a URL with a user or a fragment"
    return f"longer than {LONGEST_URL} characters" if len(url) > LONGEST_URL else ""


class KeySetFetch:
    """Fetcher of documents. With `allows_private`, a host may have a private or loopback address."""

    def __init__(
        self,
        *,
        allows_private: bool = False,
        context: ssl.SSLContext | None = None,
        resolve: Resolve = resolved,
        patience: float = PATIENCE,
    ) -> None:
        self._context = context or ssl.create_default_context()
        self._backend = CheckedBackend(allows_private=allows_private, resolve=resolve)
        self._patience = patience

    async def __call__(self, url: str) -> bytes:
        """Return the document at a URL.

        Raises:
            KeySetUnreachable: there is none that may be read, within the limits.
        """
        return await self._answer("GET", url, _HEADERS, None)

    async def post(self, url: str, form: Mapping[str, str], authorization: str) -> bytes:
        """Return the answer to a form, which may hold secrets; `authorization` is a header, none if it is empty.

        Raises:
            KeySetUnreachable: there is none that may be read, within the limits.
        """
        headers = [*_HEADERS, ("Content-Type", "application/x-www-form-urlencoded")]
        headers += [("Authorization", authorization)] if authorization else []
        return await self._answer("POST", url, headers, urlencode(form).encode("ascii"))

    async def _answer(self, method: str, url: str, headers: Sequence[tuple[str, str]], content: bytes | None) -> bytes:
        if url_fault(url):
            raise KeySetUnreachable("url")
        try:
            async with asyncio.timeout(self._patience):
                return await self._read(method, url, headers, content)
        except TimeoutError:
            raise KeySetUnreachable("too-slow") from None
        except AddressRefused:
            raise KeySetUnreachable("private-address") from None
        except (
            OSError,
            ssl.SSLError,
            UnicodeError,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
        ):
            raise KeySetUnreachable("no-answer") from None

    async def _read(self, method: str, url: str, headers: Sequence[tuple[str, str]], content: bytes | None) -> bytes:
        async with (
            httpcore.AsyncConnectionPool(self._context, max_connections=1, network_backend=self._backend) as pool,
            pool.stream(method, url, headers=headers, content=content) as response,
        ):
            parts, stream = urlsplit(url), response.extensions["network_stream"]
            SHOWN.note(f"{parts.hostname}:{parts.port or 443}", stream.get_extra_info("ssl_object"))
            answered = {name.lower(): value.lower() for name, value in response.headers}
            if response.status != 200:
                raise KeySetUnreachable(f"status-{response.status}")
            if answered.get(b"content-encoding", b"identity") != b"identity":
                raise KeySetUnreachable("compressed")
            read = bytearray()
            async for chunk in response.aiter_stream():
                read += chunk
                if len(read) > MOST_BYTES:
                    raise KeySetUnreachable("too-large")
            return bytes(read)
