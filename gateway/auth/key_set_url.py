"""Fetch a key set or a discovery document from its URL: https, no redirect, no compression, 64 kB and 5 seconds.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html (registering a client by URL), RFC 9110
§15.4 (redirects). The URL is an operator's or an issuer's; its host is never told why it is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

import httpcore

from gateway.auth.checked_address import AddressRefused, CheckedBackend, Resolve, resolved
from gateway.auth.key_set import MOST_BYTES

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
        if url_fault(url):
            raise KeySetUnreachable("url")
        try:
            async with asyncio.timeout(self._patience):
                return await self._read(url)
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

    async def _read(self, url: str) -> bytes:
        async with (
            httpcore.AsyncConnectionPool(self._context, max_connections=1, network_backend=self._backend) as pool,
            pool.stream("GET", url, headers=_HEADERS) as response,
        ):
            headers = {name.lower(): value.lower() for name, value in response.headers}
            if response.status != 200:
                raise KeySetUnreachable(f"status-{response.status}")
            if headers.get(b"content-encoding", b"identity") != b"identity":
                raise KeySetUnreachable("compressed")
            read = bytearray()
            async for chunk in response.aiter_stream():
                read += chunk
                if len(read) > MOST_BYTES:
                    raise KeySetUnreachable("too-large")
            return bytes(read)
