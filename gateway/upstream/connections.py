"""Connections to the AutoScribe REST API: nothing of the environment, no redirects, no cookies.

https://www.python-httpx.org/advanced/transports/. For each request, httpcore asks all idle connections of a pool twice
whether the server has closed them, which takes longer than the request itself. So each connection has its own pool.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx

from gateway.settings import Upstream

_HEADERS: Final = {"User-Agent": "autoscribe-gateway", "Accept-Encoding": "identity"}


class ApiConnections:
    """Connections with the same headers for each request: as many as there ever were requests at one time."""

    def __init__(self, upstream: Upstream, headers: Mapping[str, str]) -> None:
        """Open no connection yet."""
        self._headers = httpx.Headers(_HEADERS | dict(headers))
        self._tls, self._proxy = _tls_and_proxy(upstream)
        self._extensions = {"timeout": _timeout(upstream).as_dict()}
        self._every: list[httpx.AsyncHTTPTransport] = []
        self._idle: list[httpx.AsyncHTTPTransport] = []

    @asynccontextmanager
    async def answer(
        self, method: str, url: str, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Send a request, and yield its answer, whose body is still to be read, while the block runs.

        Raises:
            httpx.HTTPError, httpx.InvalidURL: the request could not be sent, or no answer came.
        """
        request = httpx.Request(
            method, url, params=parameters or None, headers=self._headers, extensions=self._extensions
        )
        request.headers.update(headers)
        connection = self._idle.pop() if self._idle else self._another()
        try:
            response = await connection.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._idle.append(connection)

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._every:
            await connection.aclose()

    def _another(self) -> httpx.AsyncHTTPTransport:
        self._every.append(httpx.AsyncHTTPTransport(verify=self._tls, proxy=self._proxy, trust_env=False))
        return self._every[-1]


def pdf_client(upstream: Upstream) -> httpx.AsyncClient:
    """Return a client for the hosts of the PDFs, with the same limits of time, certificates and proxy."""
    tls, proxy = _tls_and_proxy(upstream)
    return httpx.AsyncClient(
        headers=_HEADERS | {"Accept": "application/pdf"},
        timeout=_timeout(upstream),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=upstream.max_concurrency),
        verify=tls,
        proxy=proxy,
        trust_env=False,
        follow_redirects=False,
    )


def _timeout(upstream: Upstream) -> httpx.Timeout:
    return httpx.Timeout(upstream.read_timeout, connect=upstream.connect_timeout)


def _tls_and_proxy(upstream: Upstream) -> tuple[ssl.SSLContext, httpx.Proxy | None]:
    """Return what the settings alone say: no proxy, netrc or certificates of the environment."""
    tls = httpx.create_ssl_context(trust_env=False)
    if upstream.ca_file is not None:
        tls.load_verify_locations(upstream.ca_file)
    if upstream.proxy is None:
        return tls, None
    url = httpx.URL(upstream.proxy.get_secret_value())
    return tls, httpx.Proxy(url, ssl_context=tls if url.scheme == "https" else None)
