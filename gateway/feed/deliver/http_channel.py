"""A destination that messages are posted to: HL7 over HTTP, answered by an acknowledgement, or plain, by a status.

https://hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp/specification.html §2 (request), §3 (response); RFC 9110 §15. A
status without an acknowledgement is read as one: what the server cannot do now may be tried again (AR), what is wrong
with the message may not (AE).
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
from gateway.mllp.link import link, towards
from gateway.mllp.peer import reason
from gateway.mllp.permit import Permit, PermitEnded
from gateway.mllp.tls import tls_context
from gateway.routing import Basic, Bearer, Http
from gateway.routing.endpoints import tls_settings
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, FeedError, SendFailed
from gateway.store.feed.messages import Head
from mappings.hl7v2.ack import Ack, AckError, AckInvalid, parse

CONTENT_TYPE: Final = "application/hl7-v2"
_PLAIN: Final = "x-application/hl7-v2+er7"
_MOST: Final = 65_536
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
# What the client library raises -> what the receiver may have of the message
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
    """Posts to one URL; redirects are not followed, and no proxy of the environment is used."""

    def __init__(self, transport: Http, charset: str, permit: Permit) -> None:
        self._transport, self._permit, self._wire = transport, permit, Wire(permit)
        style = CONTENT_TYPE if transport.style == "hoh" else _PLAIN
        self._headers = {"Content-Type": f"{style}; charset={charset}", **_authorization(transport)}
        self._client: httpx.AsyncClient | None = None
        self.where, self.heard = towards(str(transport)), b""

    @property
    def is_late(self) -> bool:
        """As `Channel.is_late`."""
        return self._wire.is_late

    async def exchange(self, head: Head) -> Ack | None:
        """As `Channel.exchange`."""
        client = self._client = self._client or self._opened()
        where = f"{self._transport.host}:{self._transport.port}"
        seconds = self._transport.connect_timeout + self._transport.ack_timeout
        self.where, self.heard = towards(str(self._transport)), b""
        self._wire.begin()
        try:
            async with asyncio.timeout(seconds) as timeout:
                with self._permit.watched(partial(self._allow, timeout)):
                    request = client.stream("POST", self._transport.url, content=head.body, headers=self._headers)
                    async with request as answer:
                        self._wire.answered()
                        self.where = link(answer.extensions["network_stream"].get_extra_info)
                        body = self.heard = b"".join([part async for part in _bounded(answer, where)])
        except PermitEnded:  # a request that is not whole is not carried out
            self._wire.begin()
            await self.close()
            raise
        except TimeoutError:  # the library's own times are from one byte to the next
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
        """Let what was written go on for `left` seconds; at 0, stop whatever has not left yet."""
        if not self._wire.allow(left) and not timeout.expired():
            timeout.reschedule(0)

    async def rest(self) -> None:
        """The library closes what was not used for long."""

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        transport = self._transport
        verify = (
            tls_context(tls_settings(transport.tls), transport.url) if transport.tls else ssl.create_default_context()
        )
        timeout = httpx.Timeout(transport.ack_timeout, connect=transport.connect_timeout)
        by = WireTransport(verify, self._wire)
        return httpx.AsyncClient(transport=by, timeout=timeout, trust_env=False, follow_redirects=False)

    def _read(self, head: Head, status: int, body: bytes, where: str) -> Ack | None:
        """What the answer says of the message: its acknowledgement where there is one, else its status."""
        ack = _ack(body)
        if ack is not None and ack.answers(head.control_id):
            return ack
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            is_later = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER
            return Ack("AR" if is_later else "AE", head.control_id, errors=(AckError(str(status), system="HTTP"),))
        if self._transport.style == "hoh" or ack is not None:
            raise AckUnreadable(where, "no acknowledgement of this message in the answer")
        return None


async def _bounded(answer: httpx.Response, where: str) -> AsyncIterator[bytes]:
    size = 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > _MOST:
            raise AckUnreadable(where, f"more than {_MOST} bytes")
        yield part


def _ack(body: bytes) -> Ack | None:
    try:
        return parse(body)
    except AckInvalid:
        return None


def _authorization(transport: Http) -> dict[str, str]:
    auth = transport.auth
    if isinstance(auth, Bearer):
        return {"Authorization": f"Bearer {auth.token}"}
    if isinstance(auth, Basic):
        secret = base64.b64encode(f"{auth.user}:{auth.password}".encode()).decode()  # RFC 7617 §2
        return {"Authorization": f"Basic {secret}"}
    return {}
