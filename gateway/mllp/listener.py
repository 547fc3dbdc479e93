"""Listen for MLLP connections from other systems: limit who connects, how many, and how long; TLS if configured.

HL7 Transport Specification: MLLP, Release 1; RFC 8446 (TLS 1.3). What a frame means is up to the `Host`. A frame that
the host cannot store is not answered: the connection is closed, and the peer sends it again. Where more connections
come than are served, the one that has been idle longest gives way: a peer that opens new ones and leaves the old ones
open keeps nobody out.
Proved by tests/gateway/mllp/test_listener.py and tests/gateway/feed/deliver/test_ack_listener.py.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import islice
from typing import Final, Protocol, cast

from gateway.mllp.caller import Caller
from gateway.mllp.connection import CLOSE_WAIT, MAX_ACK_BYTES
from gateway.mllp.framing import Event, Frame
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, StoreUnavailable
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.tls import TlsSettings, server_context

MOST: Final = 32  # connections at a time, if the settings do not allow more of one address
MOST_OF_A_PEER: Final = 8  # connections of one address at a time, if the settings do not say otherwise
STALLED: Final = 30.0  # seconds without a byte after which a message, or the reading of its answer, counts as given up
ANSWER: Final = 8.0  # seconds to store and answer a frame; after that the connection is closed
CROWDED: Final = "connections-crowded"
_TOLD_FOR: Final = 3_600.0  # seconds
_MOST_LOGGED: Final = 64  # addresses of which it is known that they were logged
FIRST: Final = 30.0  # seconds for a connection's first whole frame; after that it is closed
IDLE: Final = 600.0  # seconds after a whole frame until a silent connection is closed
BIND_AGAIN: Final = 5.0  # seconds between two tries to listen
_HANDSHAKE: Final = 10.0
_MOMENT: Final = 1.0


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Address to listen on, and who may connect; `peers` empty: anybody that TLS lets in.

    `place` is the table of the settings, and `key` the setting in it that has the address. `names` stand in each line
    of the log, whose events begin with `prefix`. `max_bytes` is the largest frame. `connections` is how many of one
    address are served at a time.
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
    connections: int = MOST_OF_A_PEER


class Crowding:
    """Last time that a listener had too many connections, and which; `trouble` is the alert code for it."""

    def __init__(self) -> None:
        self._at = -_TOLD_FOR
        self.place = ""

    @property
    def trouble(self) -> str:
        """Alert code during the hour after too many connections, else empty."""
        return CROWDED if clock.monotonic() - self._at < _TOLD_FOR else ""

    def note(self, place: str) -> None:
        """Note that a listener has too many connections now."""
        self._at, self.place = clock.monotonic(), place


CROWDING: Final = Crowding()


class Host(Protocol):
    """Receiver of the frames that a listener gets: it stores and answers them."""

    async def take(self, event: Event, caller: Caller) -> bool:
        """Store one frame, or count a framing error, and answer it; return True if the connection stays open.

        May raise any exception: then the frame was not stored, and nothing is answered.
        """

    def turned_away(self) -> None:
        """Count a connection that was refused."""


@dataclass(slots=True, eq=False)
class _Served:
    """Connection with the task that serves it; `is_storing` while the host has one of its frames."""

    address: str
    caller: Caller
    task: asyncio.Task[None]
    is_storing: bool = False

    @property
    def idle(self) -> float | None:
        """Seconds for which the connection has been idle; None during a message or its answer."""
        seconds = clock.monotonic() - self.caller.active
        is_idle = not self.is_storing and (seconds >= STALLED or self.caller.is_between)
        return seconds if is_idle else None


class MllpListener:
    """Listener on one address."""

    def __init__(self, address: ListenAddress, host: Host) -> None:
        self._address, self._host = address, host
        self._is_told = False
        self._served: set[_Served] = set()
        self._logged: dict[tuple[str, str], float] = {}
        self._given_up: set[asyncio.Future[bool]] = set()

    async def run(self) -> None:
        """Listen until cancelled; if the address is in use by another process of this machine, try again."""
        while True:
            try:
                with await _listening(self._address.host, self._address.port) as listener:
                    get_logger().info(self._event("listening"), **self._address.names, port=self._address.port)
                    self._is_told = False
                    await self._accept(listener)
            except Exception as error:
                self._log_failure(error)
            await clock.sleep(BIND_AGAIN)

    @property
    def _most(self) -> int:
        return max(MOST, self._address.connections)

    def _event(self, name: str) -> str:
        return f"{self._address.prefix}-{name}"

    def _log_failure(self, error: Exception) -> None:
        """Log that listening failed: once, and not again for each try."""
        if not self._is_told:
            number = error.errno if isinstance(error, OSError) else None
            where = f"{self._address.place}.{self._address.key}"
            details = {"where": where, "code": errno.errorcode.get(number or 0, "unknown")}
            name = self._event("listen-failed")
            get_logger().warning(name, **self._address.names, port=self._address.port, **details)
        self._is_told = True

    async def _accept(self, listener: socket.socket) -> None:
        room = asyncio.Semaphore(2 * self._most)  # beside those that are served some are about to be closed
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
            self._host.turned_away()
            self._log("connection-refused", address, code=refusal)
            return
        task = cast("asyncio.Task[None]", asyncio.current_task())
        served = _Served(address, Caller(self._address.max_bytes), task)
        self._served.add(served)
        try:
            await self._serve(sock, served)
        finally:
            self._served.discard(served)
            await served.caller.close()

    def _log(self, name: str, address: str, **details: object) -> None:
        """Log an event of an address, once an hour, since network probes are frequent."""
        now = clock.monotonic()
        known = {one: at for one, at in self._logged.items() if now - at < _TOLD_FOR}
        if (name, address) not in known:
            get_logger().warning(self._event(name), **self._address.names, peer=address, **details)
        self._logged = {(name, address): now, **dict(islice(known.items(), _MOST_LOGGED))}

    def _refusal(self, address: str) -> str:
        """Return why a connection from that address is refused; empty if there is room for it."""
        peers, peer = self._address.peers, ip_address(address.partition("%")[0])
        if peers and not any(peer in network for network in peers):
            return "stranger"
        own = [one for one in self._served if one.address == address]
        for rivals, most in ((own, self._address.connections), (self._served, self._most)):
            if len(rivals) >= most and not self._gives_way(rivals):
                return "too-many-connections"
        return ""

    def _gives_way(self, rivals: Iterable[_Served]) -> bool:
        """Close the connection that has been idle longest, to make room; False if none is idle."""
        CROWDING.note(self._address.place)
        idle = [(seconds, one) for one in rivals if (seconds := one.idle) is not None]
        if not idle:
            return False
        seconds, longest = max(idle, key=lambda one: one[0])
        self._served.discard(longest)
        longest.task.cancel()
        self._log("connection-gave-way", longest.address, seconds=round(seconds))
        return True

    async def _serve(self, sock: socket.socket, served: _Served) -> None:
        try:
            await self._meet(sock, served.caller)
            await self._converse(served)
        except OSError as error:
            get_logger().warning(self._event("connection-lost"), **self._address.names, exc_info=error)
        except Exception as error:  # the frame was not stored, so it is not answered
            name = self._event("not-taken")
            get_logger().error(name, **self._address.names, code=code_of(error), exc_info=error)

    async def _meet(self, sock: socket.socket, caller: Caller) -> None:
        """Attach an accepted socket to the protocol, after a TLS handshake if TLS is configured.

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

    async def _converse(self, served: _Served) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + FIRST
        while True:
            try:
                async with asyncio.timeout_at(until):
                    event = await served.caller.next()
            except TimeoutError:
                return
            if event is None or not await self._taken(event, served):
                return
            if isinstance(event, Frame) or event.code == "frame-too-large":  # its rest may take long to come
                until = loop.time() + IDLE

    async def _taken(self, event: Event, served: _Served) -> bool:
        """Have the host store and answer a frame; return True if the connection stays open.

        A database that never answers would leave the peer without an answer and without an end. What it does in the
        end with the frame is no harm: the peer sends it again.

        Raises:
            StoreUnavailable: it takes too long.
        """
        served.is_storing = True
        taking = asyncio.ensure_future(self._host.take(event, served.caller))
        try:
            await asyncio.wait({taking}, timeout=ANSWER)
        except asyncio.CancelledError:
            taking.cancel()
            await asyncio.wait({taking}, timeout=_MOMENT)
            raise
        finally:
            served.is_storing = False
        if taking.done():
            return taking.result()
        self._given_up.add(taking)
        taking.add_done_callback(self._forget)
        taking.cancel()
        raise StoreUnavailable(f"a frame was not stored within {ANSWER:g} s")

    def _forget(self, taking: asyncio.Future[bool]) -> None:
        """Take the exception of an abandoned frame's task, so that it is not reported as lost."""
        self._given_up.discard(taking)
        if not taking.cancelled():
            taking.exception()


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
