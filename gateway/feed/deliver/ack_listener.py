"""Listener for application acknowledgements that a receiver sends later, over connections opened by the receiver.

HL7 v2.5.1 §2.9.3 (enhanced mode), table 0155, over HL7 Transport Specification: MLLP, Release 1; decision D32. An
acknowledgement is answered after it was stored, and only if it asks for an answer. If it cannot be stored yet, the
connection is closed without an answer, and the receiver sends it again. Anyone who knows a message's control id could
acknowledge it. Therefore only the peers in the settings are let in (`ack_peers`, or a certificate).
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from itertools import islice
from typing import Final

from gateway.feed.deliver.late_acks import LateAcks
from gateway.feed.payload import NotAnAcknowledgement, PayloadKind, Receipt
from gateway.mllp.caller import Caller
from gateway.mllp.connection import CLOSE_WAIT
from gateway.mllp.framing import Event, Frame, encode
from gateway.routing import Destination, Mllp
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.tls import server_context

MOST: Final = 32  # connections at a time; more wait to be accepted
MOST_OF_A_PEER: Final = 8  # connections of one address at a time; more are closed
FIRST: Final = 30.0  # seconds for a connection's first whole frame; after that it is closed
IDLE: Final = 600.0  # seconds after a whole frame until a silent connection is closed
BIND_AGAIN: Final = 5.0  # seconds between two tries to listen
_HANDSHAKE: Final = 10.0
_MOMENT: Final = 1.0


def ack_listener(destination: Destination, payload: PayloadKind, late: LateAcks) -> Iterator[AckListener]:
    """Yield the listener of a destination, if its settings have one."""
    transport = destination.transport
    if isinstance(transport, Mllp) and transport.ack_listen is not None:
        yield AckListener(destination, transport, transport.ack_listen, payload, late)


class AckListener:
    """Listener on one address for the acknowledgements of one destination."""

    def __init__(
        self, destination: Destination, transport: Mllp, address: tuple[str, int], payload: PayloadKind, late: LateAcks
    ) -> None:
        self._destination, self._transport, self._payload, self._late = destination, transport, payload, late
        self._host, self._port = address
        self._is_told = False
        self._served: Counter[str] = Counter()
        self._turned_away: set[str] = set()

    async def run(self) -> None:
        """Listen until cancelled; if the address is in use by another process of this machine, try again."""
        while True:
            try:
                with await _listening(self._host, self._port) as listener:
                    get_logger().info("ack-listening", destination=self._destination.name, port=self._port)
                    self._is_told = False
                    await self._accept(listener)
            except Exception as error:
                self._tell(error)
            await clock.sleep(BIND_AGAIN)

    def _tell(self, error: Exception) -> None:
        """Log a failure to listen, once and not for each try."""
        if not self._is_told:
            number = error.errno if isinstance(error, OSError) else None
            details = {
                "where": f"{self._destination.place}.ack_listen",
                "code": errno.errorcode.get(number or 0, "unknown"),
            }
            name = self._destination.name
            get_logger().warning("ack-listen-failed", destination=name, port=self._port, **details)
        self._is_told = True

    async def _accept(self, listener: socket.socket) -> None:
        room = asyncio.Semaphore(MOST)
        async with asyncio.TaskGroup() as callers:
            while True:
                await room.acquire()
                try:
                    sock, (address, *_) = await asyncio.get_running_loop().sock_accept(listener)
                except OSError as error:  # this process has too many files open
                    room.release()
                    get_logger().error("ack-not-accepted", destination=self._destination.name, exc_info=error)
                    await clock.sleep(_MOMENT)
                    continue
                callers.create_task(self._attend(sock, address)).add_done_callback(lambda _: room.release())

    async def _attend(self, sock: socket.socket, address: str) -> None:
        refusal = self._refusal(address)
        if refusal:
            sock.close()
            self._turn_away(address, refusal)
            return
        self._served[address] += 1
        try:
            await self._serve(sock)
        finally:
            self._served[address] -= 1

    def _turn_away(self, address: str, code: str) -> None:
        """Count a refused connection; log each address once, since network probes are frequent."""
        self._late.turned_away()
        if address not in self._turned_away:
            name = self._destination.name
            get_logger().warning("ack-connection-refused", destination=name, peer=address, code=code)
        self._turned_away = {address, *islice(self._turned_away, MOST)}

    def _refusal(self, address: str) -> str:
        """Return why a connection from that address is refused; empty if it is not."""
        peers, peer = self._transport.ack_peers, ip_address(address.partition("%")[0])
        if peers and not any(peer in network for network in peers):
            return "stranger"
        return "too-many-connections" if self._served[address] >= MOST_OF_A_PEER else ""

    async def _serve(self, sock: socket.socket) -> None:
        caller = Caller()
        try:
            await self._meet(sock, caller)
            await self._converse(caller)
        except OSError as error:
            get_logger().warning("ack-connection-lost", destination=self._destination.name, exc_info=error)
        except Exception as error:  # the acknowledgement was not stored, so it is not answered
            name = self._destination.name
            get_logger().error("ack-not-taken", destination=name, code=code_of(error), exc_info=error)
        finally:
            await caller.close()

    async def _meet(self, sock: socket.socket, caller: Caller) -> None:
        """Attach the socket to the protocol, with a TLS handshake if TLS is configured.

        Raises:
            ConfigError: a TLS file cannot be used.
            OSError: the connection is lost, or the TLS handshake failed.
        """
        try:
            context = self._context()
        except ConfigError:
            sock.close()
            raise
        loop, handshake, shutdown = asyncio.get_running_loop(), None, None
        if context is not None:
            handshake, shutdown = _HANDSHAKE, CLOSE_WAIT
        await loop.connect_accepted_socket(
            lambda: caller, sock, ssl=context, ssl_handshake_timeout=handshake, ssl_shutdown_timeout=shutdown
        )

    def _context(self) -> ssl.SSLContext | None:
        """Return the server's TLS context, with its files read on each call; None if TLS is not configured.

        Raises:
            ConfigError: a file cannot be used.
        """
        tls = self._transport.ack_tls
        return server_context(tls, self._destination.place) if tls else None

    async def _converse(self, caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + FIRST
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout_at(until):
                    event = await caller.next()
                if event is None or not await self._taken(event, caller):
                    return
                if isinstance(event, Frame):
                    until = loop.time() + IDLE

    async def _taken(self, event: Event, caller: Caller) -> bool:
        """Store one acknowledgement and answer it; return True if the connection stays open.

        Raises:
            StoreUnavailable: the store cannot be reached; nothing was answered.
        """
        if not isinstance(event, Frame):
            self._late.unreadable(event.code)
            return event.code != "frame-too-large"
        try:
            ack = self._payload.acknowledgement(event.payload)
        except NotAnAcknowledgement as error:
            self._late.unreadable(error.code)
            return self._answered(caller, event.payload, "unreadable")
        outcome = await self._late.store(ack, caller.where)
        if outcome == "too_early":
            return False
        return self._answered(caller, event.payload, "unmatched" if outcome == "unmatched" else "stored")

    def _answered(self, caller: Caller, frame: bytes, receipt: Receipt) -> bool:
        """Answer a frame that asks for an answer; return True if the connection stays open."""
        answer = self._payload.receipt(frame, receipt, secrets.token_hex(10), clock.now())
        return True if answer is None else caller.say(encode(answer))


async def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address.

    Raises:
        OSError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Resolved beforehand: `bind` would block the whole loop while it resolves a name
    (*_, address), *_ = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    listener = socket.create_server(address, family=family)
    listener.setblocking(False)
    return listener
