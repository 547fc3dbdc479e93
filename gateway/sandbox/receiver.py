"""An MLLP receiver for trying out and for the demo: takes messages, shows them, answers as told.

HL7 v2.5.1 §2.9.2 (what a receiver answers) over HL7 Transport Specification: MLLP, Release 1. With a folder given, a
message is on the disk before it is acknowledged.
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
from typing import Final, Self, cast

from gateway import clock
from gateway.errors import ConfigError
from gateway.feed.framing import Decoder, Event, Frame, encode
from gateway.feed.peer import reason
from gateway.sandbox.folder import Folder
from gateway.sandbox.inbox import Inbox, Message
from gateway.sandbox.readable import plain, readable
from gateway.serving import stop_signal
from mappings.hl7v2.ack import AckCode, AckError, acknowledge
from mappings.hl7v2.received import Unreadable, read

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
READ_BYTES: Final = 65_536
CLOSE_WAIT: Final = 1.0
PRINT: Final = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class AckMode:
    """How a receiver answers: MSA-1 `code`, none if None; `delay` in seconds; `alter` spoils the acknowledgement."""

    about: str
    code: AckCode | None = None
    error: AckError | None = None
    delay: float = 0.0
    alter: Callable[[bytes], bytes] | None = None
    close: bool = False


def _of_another_message(ack: bytes) -> bytes:
    return re.sub(rb"(\rMSA.AA.)[^\r]*", rb"\1NOT-YOUR-MESSAGE", ack)


def _no_acknowledgement(_: bytes) -> bytes:
    return b"this is no acknowledgement"


# HL7 table 0357 Message Error Condition Codes
SEQUENCE_ERROR: Final = AckError("100", text="Segment sequence error")
CONTROL_ID_MISSING: Final = AckError("101", "MSH^1^10", text="Required field missing")
PATIENT_ID_MISSING: Final = AckError("101", "PID^1^3", text="Required field missing")
TOO_LONG: Final = AckError("104", text="Value too long")
PROCESSING_ID: Final = AckError("202", "MSH^1^11", text="Unsupported processing id")
INTERNAL_ERROR: Final = AckError("207", text="Application internal error")

ACK_MODES: Final[dict[str, AckMode]] = {
    "aa": AckMode("application accept", "AA"),
    "ae": AckMode("application error", "AE", PATIENT_ID_MISSING),
    "ar": AckMode("application reject", "AR", INTERNAL_ERROR),
    "ca": AckMode("commit accept", "CA"),
    "ce": AckMode("commit error", "CE", SEQUENCE_ERROR),
    "cr": AckMode("commit reject", "CR", PROCESSING_ID),
    "none": AckMode("no answer"),
    "wrong-id": AckMode("accept of another message", "AA", alter=_of_another_message),
    "garbage": AckMode("a frame that is no acknowledgement", "AA", alter=_no_acknowledgement),
    "close": AckMode("connection closed without an answer", close=True),
    "slow": AckMode("application accept after 5 seconds", "AA", delay=5.0),
}


def _nobody(_: object) -> None:
    """Nobody asked to be told."""


@dataclass(eq=False)
class Receiver:
    """Listens while it is entered: `async with Receiver(port=0) as receiver: … receiver.port …`.

    `port` 0 takes a free one and is then the port taken. `ack` is a name of `ACK_MODES`. `out` is a folder that each
    message is written to before it is acknowledged. `on_message` is called with each message before it is acknowledged.
    `say` is told, in one line of codes and counts, of everything out of the ordinary. `tls` is a server context.

    Raises:
        ConfigError: on entering: `ack` is no such name, or the port or the folder cannot be had.
    """

    host: str = "127.0.0.1"
    port: int = 2575
    ack: str = "aa"
    out: Path | None = None
    on_message: Callable[[Message], object] = _nobody
    say: Callable[[str], object] = _nobody
    tls: ssl.SSLContext | None = None
    max_bytes: int = MAX_MESSAGE_BYTES
    _inbox: Inbox = field(default_factory=Inbox, init=False, repr=False)
    _folder: Folder | None = field(default=None, init=False, repr=False)
    _server: asyncio.Server | None = field(default=None, init=False, repr=False)
    _clients: set[asyncio.Task[None]] = field(default_factory=set, init=False, repr=False)
    _answers: int = field(default=0, init=False, repr=False)

    @property
    def messages(self) -> deque[Message]:
        """The latest messages, oldest first."""
        return self._inbox.messages

    async def wait_for(self, control_id: str, *, within: float = 10.0) -> Message:
        """The newest message with that MSH-10, waited for if it has not come yet.

        Raises:
            TimeoutError: none came within that many seconds.
        """
        return await self._inbox.wait_for(control_id, within=within)

    async def __aenter__(self) -> Self:
        if self.ack not in ACK_MODES:
            raise ConfigError("receiver", "ack", "no such answer", f"Name one of {', '.join(ACK_MODES)}.")
        try:
            self._folder = Folder(self.out) if self.out is not None else None
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
        clients = tuple(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        try:
            await self._attend(reader, writer)
        except asyncio.CancelledError:
            # Only leaving the receiver cancels. Not raised on: asyncio's server takes a cancelled task for a fault.
            writer.transport.abort()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except OSError as error:
            self.say(f"connection lost: {reason(error)}")
        finally:
            await _close(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = Decoder(self.max_bytes)
        while data := await reader.read(READ_BYTES):
            for event in decoder.feed(data):
                answer = await self._answer(event)
                if answer is not None:
                    writer.write(encode(answer))
                    await writer.drain()
                if ACK_MODES[self.ack].close:
                    return
        for event in decoder.close():
            await self._answer(event)

    async def _answer(self, event: Event) -> bytes | None:
        """The content of the answer, None for none."""
        if isinstance(event, Frame):
            return await self._receive(event.payload)
        self.say(f"{event.code} at offset {event.offset}, {event.count} bytes")
        # Of all faults of framing, only the sender of a whole frame that is too large waits for an answer.
        return self._acknowledge(b"", "R", TOO_LONG) if event.code == "frame-too-large" else None

    async def _receive(self, payload: bytes) -> bytes | None:
        control_id, letter, error = self._judge(payload)
        try:
            file = await self._write(payload, control_id)
        except OSError as problem:
            self.say(f"not written, not taken: {reason(problem)}")
            return self._acknowledge(payload, "R", INTERNAL_ERROR)
        mode = ACK_MODES[self.ack]
        answer = mode.about if mode.code is None or mode.alter else mode.code[0] + letter
        self.on_message(self._inbox.take(payload, control_id, answer=answer, file=file))
        if mode.delay:
            await clock.sleep(mode.delay)
        return self._acknowledge(payload, letter, error)

    def _judge(self, payload: bytes) -> tuple[str, str, AckError | None]:
        """MSH-10, the second letter of MSA-1 and the error to name: as told, unless the message cannot be taken."""
        mode = ACK_MODES[self.ack]
        try:
            control_id = read(payload).msh.field(10).strip()
        except Unreadable as unreadable:
            self.say(f"not HL7 v2: {unreadable}")
            return "", "R", SEQUENCE_ERROR
        if not control_id:
            self.say("message without MSH-10")
            return "", "E", CONTROL_ID_MISSING
        return control_id, (mode.code or "AA")[1], mode.error

    async def _write(self, payload: bytes, control_id: str) -> Path | None:
        if self._folder is None:
            return None
        file = self._folder.name(control_id)
        await asyncio.to_thread(self._folder.write, file, payload)
        return file

    def _acknowledge(self, payload: bytes, letter: str, error: AckError | None) -> bytes | None:
        mode = ACK_MODES[self.ack]
        if mode.code is None:
            return None
        self._answers += 1
        ack = acknowledge(
            payload,
            cast(AckCode, mode.code[0] + letter),
            control_id=f"ACK{self._answers:08d}",
            at=clock.now().strftime("%Y%m%d%H%M%S+0000"),
            error=error,
        )
        return mode.alter(ack) if mode.alter else ack


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_WAIT):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def run_listen(
    host: str = "127.0.0.1",
    port: int = 2575,
    ack: str = "aa",
    out: Path | None = None,
    show: Callable[[str], object] = PRINT,
) -> None:
    """Receive and show messages until SIGINT or SIGTERM.

    Raises:
        ConfigError: `ack` is no such name, or the port or the folder cannot be had.
    """
    receiver = Receiver(host, port, ack, out, on_message=lambda message: show(_shown(message)), say=show)
    async with stop_signal() as stop, receiver:
        show(f"MLLP on {host}:{receiver.port}, answer: {ACK_MODES[ack].about}. Ctrl-C stops.")
        await stop.wait()
    show(f"{len(receiver.messages)} messages kept, stopped.")


_REPEATS: Final = {"same": ", duplicate", "other": ", duplicate MSH-10 with other bytes"}


def _shown(message: Message) -> str:
    file = f", file {message.file.name}" if message.file else ""
    head = f"--- {message.number}  MSH-10 {plain(message.control_id) or 'none'}, {len(message.payload)} bytes"
    head += f"{_REPEATS.get(message.repeat, '')}{file}, answer: {message.answer}"
    return f"{head}\n{readable(message.payload)}\n"
