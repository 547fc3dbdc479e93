"""Channel that posts messages over HTTP, answered by an HL7 acknowledgement or by a plain HTTP status.

https://hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp/specification.html §2 (request), §3 (response); RFC 9110 §15. A
status without an acknowledgement is read as one: AR if the server may accept the message later, AE if the message is at
fault.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Final

import httpx

from gateway.feed.deliver.http_stream import Wire, WireTransport
from gateway.feed.payload import Acknowledgement, PayloadKind, acknowledged
from gateway.mllp.link import link, towards
from gateway.mllp.peer import reason
from gateway.mllp.permit import Permit, PermitEnded
from gateway.routing import Basic, Bearer, Http
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, FeedError, SendFailed
from gateway.runtime.tls import tls_context
from gateway.store.feed.messages import Head
from mappings.profile import Receiver

_MOST: Final = 65_536
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
# Error of the client library -> our error, which says how much of the message the receiver may have
_FAILURES: Final[tuple[tuple[type[httpx.HTTPError], type[FeedError]], ...]] = (
    (httpx.ConnectTimeout, ConnectFailed),
    (httpx.PoolTimeout, ConnectFailed),
    (httpx.ConnectError, ConnectFailed),
    (httpx.WriteTimeout, SendFailed),
    (httpx.WriteError, SendFailed),
    (httpx.ReadTimeout, AckTimeout),
    (httpx.HTTPError, ConnectionLost),
)


class HttpChannel:
    """Channel to one URL; it follows no redirects, and uses no proxy of the environment."""

    def __init__(self, transport: Http, receiver: Receiver, payload: PayloadKind, permit: Permit) -> None:
        self._transport, self._payload, self._permit, self._wire = transport, payload, permit, Wire(permit)
        content_type = payload.content_type(transport.style, receiver)
        self._headers = {"Content-Type": content_type, "Accept-Encoding": "identity", **_authorization(transport)}
        self._client: httpx.AsyncClient | None = None
        self.where, self.received = towards(str(transport)), b""

    @property
    def is_late(self) -> bool:
        """True if some of the request may have left after the permit ended, as `Channel.is_late`."""
        return self._wire.is_late

    async def exchange(self, head: Head) -> Acknowledgement | None:
        """Post a message and return its acknowledgement, as `Channel.exchange`."""
        client = self._client = self._client or self._opened()
        where = f"{self._transport.host}:{self._transport.port}"
        seconds = self._transport.connect_timeout + self._transport.ack_timeout
        self.where, self.received = towards(str(self._transport)), b""
        self._wire.begin()
        try:
            async with asyncio.timeout(seconds) as timeout:
                with self._permit.watched(partial(self._allow, timeout)):
                    request = client.stream("POST", self._transport.url, content=head.body, headers=self._headers)
                    async with request as answer:
                        self._wire.answered()
                        self.where = link(answer.extensions["network_stream"].get_extra_info)
                        body = self.received = b"".join([part async for part in _bounded(answer, where)])
        except PermitEnded:  # the server does not process an incomplete request
            self._wire.begin()
            await self.close()
            raise
        except TimeoutError:  # for the whole exchange; the library's own timeouts run between two bytes
            await self.close()
            if not self._wire.has_written:
                self._permit.check()
            late = f"after {seconds:g} s"
            raise (SendFailed if self._wire.is_writing else AckTimeout)(where, late) from None
        except httpx.HTTPError as error:
            kind = next(made for raised, made in _FAILURES if isinstance(error, raised))
            await self.close()
            raise kind(where, reason(error)) from None
        return self._read(head, answer.status_code, body, where)

    def _allow(self, timeout: asyncio.Timeout, left: float) -> None:
        """Let the written bytes leave for `left` more seconds; at 0, stop the exchange if the request has not left."""
        if not self._wire.allow(left) and not timeout.expired():
            timeout.reschedule(0)

    async def rest(self) -> None:
        """Do nothing: the library closes idle connections."""

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        transport = self._transport
        verify = tls_context(transport.tls, transport.url) if transport.tls else ssl.create_default_context()
        timeout = httpx.Timeout(transport.ack_timeout, connect=transport.connect_timeout)
        by = WireTransport(verify, self._wire)
        return httpx.AsyncClient(transport=by, timeout=timeout, trust_env=False, follow_redirects=False)

    def _read(self, head: Head, status: int, body: bytes, where: str) -> Acknowledgement | None:
        """Return the message's acknowledgement in the answer, or else one made from its status."""
        ack = acknowledged(self._payload, body)
        if ack is not None and ack.control_id == head.control_id:
            return ack
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            is_later = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER
            return Acknowledgement("AR" if is_later else "AE", head.control_id, errors=(str(status),))
        if self._transport.style == "hoh" or ack is not None:
            raise AckUnreadable(where, "no acknowledgement of this message in the answer")
        return None


async def _bounded(answer: httpx.Response, where: str) -> AsyncIterator[bytes]:
    """Yield the body as it came: decoded, a few bytes of gzip could fill the memory."""
    size = 0
    async for part in answer.aiter_raw():
        size += len(part)
        if size > _MOST:
            raise AckUnreadable(where, f"more than {_MOST} bytes")
        yield part


def _authorization(transport: Http) -> dict[str, str]:
    auth = transport.auth
    if isinstance(auth, Bearer):
        return {"Authorization": f"Bearer {auth.token}"}
    if isinstance(auth, Basic):
        secret = base64.b64encode(f"{auth.user}:{auth.password}".encode()).decode()  # RFC 7617 §2
        return {"Authorization": f"Basic {secret}"}
    return {}
