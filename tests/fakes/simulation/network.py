"""Network in memory with a receiver at its end, which keeps each whole frame in the order of arrival.

HL7 Transport Specification: MLLP, Release 1; RFC 9293. While the receiver's window is shut, written bytes may stay with
the sender: in its kernel, and beyond `_KERNEL` bytes in its process. Bytes on their way arrive within a second.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fakes.simulation.loops import Loop, Scheduler

from mappings.hl7v2.ack import acknowledge

_KERNEL = 60
_ON_ITS_WAY = 1.0
_LINGER = struct.pack("ii", 1, 0)
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", 18)


@dataclass
class Manners:
    """Effects of the network and the receiver on one connection; times in seconds."""

    connects_in: float = 0.001
    arrives_in: float = 0.001
    shut_for: float = 0.0
    answers_in: float = 0.001
    code: str = "AA"
    closes: bool = False


@dataclass
class Arrived:
    """A frame at the receiver: the time, the sending gateway, and the payload."""

    at: float
    sender: str
    payload: bytes


class Socket:
    """Options of a connection; `poll` finds nothing in it."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        self.options: dict[tuple[int, int], Any] = {}

    def fileno(self) -> int:
        return self._fileno

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        self.options[level, name] = value

    @property
    def resets(self) -> bool:
        """True if unsent bytes are dropped when the socket is closed."""
        return self.options.get((socket.SOL_SOCKET, socket.SO_LINGER)) == _LINGER

    @property
    def user_timeout(self) -> float:
        """Seconds after which the kernel gives up unacknowledged bytes; infinite by default."""
        said = self.options.get((socket.IPPROTO_TCP, _USER_TIMEOUT), 0)
        return said / 1000 if said else float("inf")


@dataclass
class Wire(asyncio.Transport):
    """One connection: the sender's transport and the receiver's side in one."""

    network: Network
    loop: Loop
    protocol: Any
    manners: Manners
    sock: Socket
    process: bytes = b""
    kernel: bytes = b""
    came: bytes = b""
    is_closed: bool = False
    is_paused: bool = False
    shut_since: float | None = None
    writes: int = 0
    order: float = 0.0
    on_write: Callable[[Wire, bytes], None] = field(default=lambda wire, data: None)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore the limits: the feed's make it pause whenever bytes wait."""

    def is_closing(self) -> bool:
        return self.is_closed

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has and the receiver's machine has not."""
        return len(self.kernel)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_closed:
            return
        data = bytes(data)
        self.on_write(self, data)
        if self.manners.shut_for and not self.writes:
            self.shut_since = self.loop.time()
            self.network.scheduler.at(self.loop.time() + self.manners.shut_for, self._open_window)
        self.writes += 1
        if self.shut_since is None:
            self._send(data)
            return
        room = _KERNEL - len(self.kernel)
        self.kernel, self.process = self.kernel + data[:room], self.process + data[room:]
        if self.process and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def _open_window(self) -> None:
        if self.shut_since is None:
            return
        waited, self.shut_since = self.network.scheduler.now - self.shut_since, None
        kernel, self.kernel = self.kernel, b""
        if waited <= self.sock.user_timeout:
            self._send(kernel)
        else:
            self.lose("nobody took what was sent")
        if not self.is_closed:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send the bytes that waited in the gateway's process, once its loop runs again."""
        if self.is_closed:
            return
        process, self.process = self.process, b""
        if process:
            self._send(process)
        if self.is_paused:
            self.is_paused = False
            self.protocol.resume_writing()

    def _send(self, data: bytes) -> None:
        self.order = max(self.order, self.loop.time() + self.manners.arrives_in)
        self.network.scheduler.at(self.order, lambda: self.network.arrive(self, data))

    def answer(self, payload: bytes) -> None:
        """Send the receiver's answer, and close the connection if its manners say so."""
        if self.is_closed:
            return
        frame = b"\x0b" + payload + b"\x1c\r"
        self.loop.call_soon(lambda: None if self.is_closed else self.protocol.data_received(frame))
        if self.manners.closes:
            self.lose(None)

    def lose(self, why: str | None) -> None:
        """Lose the connection, as the gateway sees it."""

        def gone() -> None:
            if not self.is_closed:
                self.is_closed = True
                self.protocol.connection_lost(OSError(110, why) if why else None)

        self.loop.call_soon(gone)

    def abort(self) -> None:
        self._close()

    def close(self) -> None:
        self._close()

    def _close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self.sock.resets:
            self.kernel = b""
        self.process = b""
        self.loop.call_soon(self.protocol.connection_lost, None)


class Network:
    """Connections to one receiver; `manners` returns the effects on the next one, `tell` is called with each frame."""

    def __init__(self, scheduler: Scheduler, fileno: int) -> None:
        self.scheduler, self._fileno = scheduler, fileno
        self.manners: Callable[[], Manners] = Manners
        self.on_write: Callable[[Wire, bytes], None] = lambda wire, data: None
        self.tell: Callable[[Arrived], None] = lambda arrived: None
        self.arrived: list[Arrived] = []
        self.wires: list[Wire] = []

    async def connect(self, loop: Loop, factory: Any, port: int, **more: Any) -> tuple[Wire, Any]:
        """Connect; this replaces `create_connection`."""
        manners = self.manners()
        await asyncio.sleep(manners.connects_in)
        protocol = factory()
        wire = Wire(self, loop, protocol, manners, Socket(self._fileno), on_write=self.on_write)
        self.wires.append(wire)
        protocol.connection_made(wire)
        return wire, protocol

    def unsent(self, sock: Socket) -> int:
        """Return the bytes not acknowledged; this replaces the call to the kernel."""
        return next((one.unsent for one in self.wires if one.sock is sock), 0)

    def arrive(self, wire: Wire, data: bytes) -> None:
        """Receive bytes, and record each whole frame."""
        wire.came += data
        while b"\x1c\r" in wire.came:
            frame, _, wire.came = wire.came.partition(b"\x1c\r")
            payload = frame.removeprefix(b"\x0b")
            arrived = Arrived(self.scheduler.now, wire.loop.name, payload)
            self.arrived.append(arrived)
            self.tell(arrived)
            if wire.manners.answers_in != float("inf"):
                code = wire.manners.code if wire.writes < 3 else "AA"
                answer = acknowledge(payload, code, control_id="1", at="2026")
                self.scheduler.at(self.scheduler.now + wire.manners.answers_in, lambda sent=answer: wire.answer(sent))
