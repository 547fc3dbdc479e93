"""HTTP connections to the AutoScribe API: no redirects, no cookies, and nothing from the environment, such as proxies.

https://www.python-httpx.org/advanced/transports/. For each request, httpcore asks all idle connections of a pool twice
whether the server has closed them, which takes longer than the request itself. So each connection has its own pool.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx

from gateway.runtime import clock
from gateway.runtime.tls import SHOWN
from gateway.settings import Upstream

_EXPIRY: Final = 5.0  # seconds for which an idle connection is kept
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0  # until the next bytes of an answer; the setting upstream.timeout bounds a whole one
_PORTS: Final = {"http": 80, "https": 443}
_HEADERS: Final = {"User-Agent": "autoscribe-gateway", "Accept-Encoding": "identity"}


class ApiConnections:
    """Connections with fixed headers, one for each simultaneous request; the last used is used first."""

    def __init__(self, upstream: Upstream, headers: Mapping[str, str]) -> None:
        """Open no connection yet."""
        self._headers = httpx.Headers(_HEADERS | dict(headers))
        self._tls, self._proxy = _tls_and_proxy(upstream)
        self._extensions = {"timeout": _timeout().as_dict()}
        self._used: set[httpx.AsyncHTTPTransport] = set()
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()  # since when; the latest is the last
        self._is_closed = False

    @asynccontextmanager
    async def answer(
        self, method: str, url: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Send a request, and yield its answer while the block runs; the body is still to be read.

        Raises:
            httpx.HTTPError, httpx.InvalidURL: the request could not be sent, or no answer came.
            RuntimeError: the connections were closed.
        """
        request = httpx.Request(
            method, url, params=parameters or None, headers=self._headers, extensions=self._extensions
        )
        request.headers.update(headers)
        await self._close_unused()
        if self._is_closed:
            raise RuntimeError("the connections to AutoScribe are closed")
        connection = self._idle.pop()[1] if self._idle else self._another()
        self._used.add(connection)
        try:
            response = await connection.handle_async_request(request)
            if (stream := response.extensions.get("network_stream")) is not None:
                port = request.url.port or _PORTS.get(request.url.scheme)
                SHOWN.note(f"{request.url.host}:{port}", stream.get_extra_info("ssl_object"))
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._used.discard(connection)
            self._idle.append((clock.monotonic(), connection))

    async def aclose(self) -> None:
        """Close all connections, for good."""
        self._is_closed = True
        for connection in (*self._used, *(one for _, one in self._idle)):
            await connection.aclose()

    async def _close_unused(self) -> None:
        """Close connections unused for a while, since AutoScribe may have closed its end."""
        while self._idle and self._idle[0][0] < clock.monotonic() - _EXPIRY:
            await self._idle.popleft()[1].aclose()

    def _another(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=_EXPIRY)
        return httpx.AsyncHTTPTransport(verify=self._tls, proxy=self._proxy, trust_env=False, limits=limits)


def pdf_client(upstream: Upstream, requests: int) -> httpx.AsyncClient:
    """Return a client for the hosts of the PDFs, with the same limits of time, certificates and proxy.

    It keeps as many connections open as there are `requests` at one time.
    """
    tls, proxy = _tls_and_proxy(upstream)
    return httpx.AsyncClient(
        headers=_HEADERS | {"Accept": "application/pdf"},
        timeout=_timeout(),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=requests),
        verify=tls,
        proxy=proxy,
        trust_env=False,
        follow_redirects=False,
    )


def _timeout() -> httpx.Timeout:
    return httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)


def _tls_and_proxy(upstream: Upstream) -> tuple[ssl.SSLContext, httpx.Proxy | None]:
    """Return TLS and proxy as the settings say, with no proxy, netrc or certificates from the environment."""
    tls = httpx.create_ssl_context(trust_env=False)
    if upstream.ca_file is not None:
        tls.load_verify_locations(upstream.ca_file)
    if upstream.proxy is None:
        return tls, None
    url = httpx.URL(upstream.proxy.get_secret_value())
    return tls, httpx.Proxy(url, ssl_context=tls if url.scheme == "https" else None)
