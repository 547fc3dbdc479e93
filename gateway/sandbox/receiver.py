"""Test MLLP receiver for trials, the demo and tests: record each message, and answer as a plan of behaviors says.

HL7 v2.5.1 §2.9.2 (answers of a receiver) over HL7 Transport Specification: MLLP, Release 1. If a folder is given, a
message is on disk before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.mllp.framing import Decoder, Event, Frame
from gateway.mllp.peer import reason
from gateway.runtime.errors import ConfigError
from gateway.sandbox.connection_manners import MAX_MESSAGE_BYTES
from gateway.sandbox.exchange import Exchange, NewConnection, ReceiverState, Refusal
from gateway.sandbox.inbox import ReceivedMessage, ReceiverInbox
from gateway.sandbox.late_acks import AckAddress, LateAckSender
from gateway.sandbox.manner_plan import ChosenManner, MannerPlan, plan_of
from gateway.sandbox.manners import INTERNAL_ERROR, SEQUENCE_ERROR, Manner
from gateway.sandbox.raw_connection import RawConnection
from mappings.hl7v2.ack import AckError
from mappings.hl7v2.received import Received, Unreadable, read

_NUMBER: Final = re.compile(r"(\d{6,})-.*\.hl7")
_NOT_SAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH: Final = 40


class SandboxFolder:
    """Writer of messages as `000001-<MSH-10>.hl7`, readable by the owner only; numbers continue those in the folder.

    Raises:
        OSError: the folder cannot be made or read.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        taken = [int(match.group(1)) for entry in path.iterdir() if (match := _NUMBER.fullmatch(entry.name))]
        self._last = max(taken, default=0)

    def name(self, control_id: str) -> Path:
        """Return the next file's path; it contains only the control id of the message, made safe for a file name."""
        self._last += 1
        safe = _NOT_SAFE.sub("_", control_id)[:_NAME_LENGTH] or "no-control-id"
        return self._path / f"{self._last:06d}-{safe}.hl7"

    def write(self, file: Path, payload: bytes) -> None:
        """Write the payload to this file; it is on disk when this returns.

        Raises:
            OSError: the file could not be written; it does not exist then.
        """
        aside = file.with_suffix(".part")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(file)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        self._flush_folder()

    def _flush_folder(self) -> None:
        """Flush the folder, so that the rename survives a power loss."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# HL7 table 0357 Message Error Condition Codes
CONTROL_ID_MISSING: Final = AckError("101", "MSH^1^10", text="Required field missing")
TOO_LONG: Final = AckError("104", text="Value too long")


def _nobody(_: object) -> None:
    """Ignore a notification."""


@dataclass(eq=False)
class MllpReceiver:
    """Receiver that listens while entered: `async with MllpReceiver(port=0) as receiver: … receiver.port …`.

    `port` 0 takes a free port, and `port` is then the port taken. `ack` is a SPEC (gateway/sandbox/manner_plan.py), a
    manner or a plan; it may be changed while the receiver listens. Each message is written to the folder `out` and
    passed to `on_message` before it is acknowledged. `say` gets a line of codes and counts for anything unusual. `tls`
    is a server context. `reply_to` is the address for late acknowledgements over connections of their own.

    The receiver can be left and entered again, like a peer that restarts: same port, same state.

    Raises:
        ConfigError: on entering: `ack` is invalid or needs `reply_to`, the port is in use, or the folder is unusable.
    """

    host: str = "127.0.0.1"
    port: int = 2575
    ack: str | Manner | MannerPlan = "aa"
    out: Path | None = None
    on_message: Callable[[ReceivedMessage], object] = _nobody
    say: Callable[[str], object] = _nobody
    tls: ssl.SSLContext | None = None
    max_bytes: int = MAX_MESSAGE_BYTES
    reply_to: AckAddress | None = None
    _inbox: ReceiverInbox = field(default_factory=ReceiverInbox, init=False, repr=False)
    _folder: SandboxFolder | None = field(default=None, init=False, repr=False)
    _server: asyncio.Server | None = field(default=None, init=False, repr=False)
    _clients: dict[asyncio.Task[None], RawConnection] = field(default_factory=dict, init=False, repr=False)
    _desk: ReceiverState = field(init=False, repr=False)
    _told: tuple[str | Manner | MannerPlan, MannerPlan] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._desk = ReceiverState(LateAckSender(self.reply_to, self.say))

    @property
    def plan(self) -> MannerPlan:
        """Plan for the current `ack`, with its counts; a new value of `ack` starts a new plan with the next message.

        Raises:
            ConfigError: `ack` is no valid SPEC, or needs an address in `reply_to`.
        """
        if self._told is None or self._told[0] is not self.ack:
            plan = plan_of(self.ack)
            if plan.calls and self.reply_to is None:
                remedy = "Name HOST:PORT where the sender takes acknowledgements (--reply-to)."
                raise ConfigError("receiver", "reply_to", "missing", remedy)
            self._told = self.ack, plan
        return self._told[1]

    @property
    def messages(self) -> deque[ReceivedMessage]:
        """Latest messages, oldest first."""
        return self._inbox.messages

    async def __aenter__(self) -> Self:
        # Refuses a wrong SPEC before anything is opened.
        _ = self.plan
        try:
            self._folder = SandboxFolder(self.out) if self.out is not None else None
        except OSError as error:
            raise ConfigError("receiver", "out", reason(error), "Name a folder that can be written to.") from None
        try:
            self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls)
        except OSError as error:
            problem = f"cannot be listened on ({os.strerror(error.errno or 0)})"
            remedy = "Stop what uses it, or choose another port; --help names the option."
            raise ConfigError("port", f"{self.host}:{self.port}", problem, remedy) from None
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        clients = dict(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        for line in clients.values():
            line.abort()
        await self._desk.late.stop()
        await self._server.wait_closed()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, known from its first moment: a task that is cancelled before it begins closes nothing."""
        line = RawConnection(reader, writer)
        task = asyncio.create_task(self._attend(line))
        self._clients[task] = line
        task.add_done_callback(self._clients.pop)

    async def _attend(self, line: RawConnection) -> None:
        try:
            await self._meet(line)
            await self._converse(line)
        except OSError as error:
            self.say(f"connection lost: {reason(error)}")
        finally:
            await line.close()

    async def _meet(self, line: RawConnection) -> None:
        strike = self.plan.connected()
        if strike is None or strike.manner.meet is None:
            await self._desk.late.pay(line)
            return
        meeting = NewConnection(line, self._desk, strike.options, partial(self._receive, line=line, strike=strike))
        await strike.manner.meet(meeting)

    async def _converse(self, line: RawConnection) -> None:
        decoder = Decoder(self.max_bytes)
        while data := await line.read():
            for event in decoder.feed(data):
                await self._take_event(event, line)
                if line.over:
                    return
        for event in decoder.close():
            await self._take_event(event, line)

    async def _take_event(self, event: Event, line: RawConnection) -> None:
        if isinstance(event, Frame):
            await self._receive(event.payload, line)
            return
        self.say(f"{event.code} at offset {event.offset}, {event.count} bytes")
        # Of all framing faults, only a frame that is too large has a sender who waits for an answer.
        if event.code == "frame-too-large":
            await self._answer(b"", line, self.plan.received(b""), Refusal("R", TOO_LONG))

    async def _receive(self, payload: bytes, line: RawConnection, strike: ChosenManner | None = None) -> None:
        """Record a message and answer it, unless the manner of the connection has answered already."""
        received = self._read(payload)
        if received is not None and received.components(received.msh.field(9))[0] == "ACK":
            # An acknowledgement is never acknowledged; otherwise two peers could answer each other forever.
            self.say("an acknowledgement came, and was left at that")
            return
        control_id, refusal = self._judge(received)
        strike = strike or self.plan.received(payload)
        manner = strike.manner
        try:
            file = await self._write(payload, control_id) if manner.keeps else None
        except OSError as problem:
            self.say(f"not written, not taken: {reason(problem)}")
            await self._answer(payload, line, strike, Refusal("R", INTERNAL_ERROR))
            return
        answer = manner.about
        if manner.code is not None:
            answer = manner.code[0] + (refusal.letter if refusal else manner.code[1])
        self.on_message(self._inbox.take(payload, control_id, answer=answer, file=file))
        await self._answer(payload, line, strike, refusal)

    def _read(self, payload: bytes) -> Received | None:
        try:
            return read(payload)
        except Unreadable as unreadable:
            self.say(f"not HL7 v2: {unreadable}")
            return None

    def _judge(self, received: Received | None) -> tuple[str, Refusal | None]:
        """Return MSH-10, and the refusal if the message cannot be accepted."""
        if received is None:
            return "", Refusal("R", SEQUENCE_ERROR)
        control_id = received.msh.field(10).strip()
        if not control_id:
            self.say("message without MSH-10")
            return "", Refusal("E", CONTROL_ID_MISSING)
        return control_id, None

    async def _answer(self, payload: bytes, line: RawConnection, strike: ChosenManner, refusal: Refusal | None) -> None:
        if strike.manner.act is not None:
            await strike.manner.act(Exchange(payload, line, self._desk, strike.options, refusal))

    async def _write(self, payload: bytes, control_id: str) -> Path | None:
        if self._folder is None:
            return None
        file = self._folder.name(control_id)
        await asyncio.to_thread(self._folder.write, file, payload)
        return file
