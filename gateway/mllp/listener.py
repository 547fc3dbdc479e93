"""Listener for MLLP connections that other systems open: who is let in, how many, how long, and over which TLS.

HL7 Transport Specification: MLLP, Release 1; RFC 8446 (TLS 1.3). What a frame means is up to the `Host`. A frame that
the host cannot store is not answered: the connection is closed, and the peer sends it again.
Proved by tests/gateway/feed/deliver/test_ack_listener.py.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import islice
from typing import Final, Protocol

from gateway.mllp.caller import Caller
from gateway.mllp.connection import CLOSE_WAIT, MAX_ACK_BYTES
from gateway.mllp.framing import Event, Frame
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.tls import TlsSettings, server_context

MOST: Final = 32  # connections at a time; more wait to be accepted
MOST_OF_A_PEER: Final = 8  # connections of one address at a time; more are closed
FIRST: Final = 30.0  # seconds for a connection's first whole frame; after that it is closed
IDLE: Final = 600.0  # seconds after a whole frame until a silent connection is closed
BIND_AGAIN: Final = 5.0  # seconds between two tries to listen
_HANDSHAKE: Final = 10.0
_MOMENT: Final = 1.0


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Address to listen on, and who may connect; `peers` empty: anybody that TLS lets in.

    `place` is the table of the settings, and `key` the setting in it that has the address. `names` stand in each line
    of the log, whose events begin with `prefix`. `max_bytes` is the largest frame.
    """

    host: str
    port: int
    peers: tuple[IPv4Network | IPv6Network, ...]
    tls: TlsSettings | None
    place: str
    key: str
    prefix: str
    names: Mapping[str, str]
    max_bytes: int = MAX_ACK_BYTES


class Host(Protocol):
    """Taker of the frames that peers send."""

    async def take(self, event: Event, caller: Caller) -> bool:
        """Store one frame, or count a framing error, and answer it; return True if the connection stays open.

        May raise any exception: then the frame was not stored, and nothing is answered.
        """

    def turned_away(self) -> None:
        """Count a connection that was refused."""


class MllpListener:
    """Listener on one address."""

    def __init__(self, address: ListenAddress, host: Host) -> None:
        self._address, self._host = address, host
        self._is_told = False
        self._served: Counter[str] = Counter()
        self._turned_away: set[str] = set()

    async def run(self) -> None:
        """Listen until cancelled; if the address is in use by another process of this machine, try again."""
        while True:
            try:
                with await _listening(self._address.host, self._address.port) as listener:
                    get_logger().info(self._event("listening"), **self._address.names, port=self._address.port)
                    self._is_told = False
                    await self._accept(listener)
            except Exception as error:
                self._tell(error)
            await clock.sleep(BIND_AGAIN)

    def _event(self, name: str) -> str:
        return f"{self._address.prefix}-{name}"

    def _tell(self, error: Exception) -> None:
        """Log a failure to listen, once and not for each try."""
        if not self._is_told:
            number = error.errno if isinstance(error, OSError) else None
            where = f"{self._address.place}.{self._address.key}"
            details = {"where": where, "code": errno.errorcode.get(number or 0, "unknown")}
            name = self._event("listen-failed")
            get_logger().warning(name, **self._address.names, port=self._address.port, **details)
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
                    get_logger().error(self._event("not-accepted"), **self._address.names, exc_info=error)
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
        self._host.turned_away()
        if address not in self._turned_away:
            name = self._event("connection-refused")
            get_logger().warning(name, **self._address.names, peer=address, code=code)
        self._turned_away = {address, *islice(self._turned_away, MOST)}

    def _refusal(self, address: str) -> str:
        """Return why a connection from that address is refused; empty if it is not."""
        peers, peer = self._address.peers, ip_address(address.partition("%")[0])
        if peers and not any(peer in network for network in peers):
            return "stranger"
        return "too-many-connections" if self._served[address] >= MOST_OF_A_PEER else ""

    async def _serve(self, sock: socket.socket) -> None:
        caller = Caller(self._address.max_bytes)
        try:
            await self._meet(sock, caller)
            await self._converse(caller)
        except OSError as error:
            get_logger().warning(self._event("connection-lost"), **self._address.names, exc_info=error)
        except Exception as error:  # the frame was not stored, so it is not answered
            name = self._event("not-taken")
            get_logger().error(name, **self._address.names, code=code_of(error), exc_info=error)
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
        tls = self._address.tls
        return server_context(tls, self._address.place) if tls else None

    async def _converse(self, caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + FIRST
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout_at(until):
                    event = await caller.next()
                if event is None or not await self._host.take(event, caller):
                    return
                if isinstance(event, Frame) or event.code == "frame-too-large":  # its rest may take long to come
                    until = loop.time() + IDLE


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
