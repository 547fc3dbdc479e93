"""Channels that carry one message to a destination and return its acknowledgement: MLLP, or a folder of files.

HL7 Transport Specification: MLLP, Release 1; HL7 v2.5.1 §2.9.2; rename(2), fsync(2). A channel reports the answer or
the failure. gateway/feed/deliver/outcome.py decides what the answer means.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from gateway.feed.deliver.http_channel import HttpChannel
from gateway.feed.payload import Acknowledgement, PayloadKind, acknowledged
from gateway.mllp.connection import Connection
from gateway.mllp.framing import Frame
from gateway.mllp.link import towards
from gateway.mllp.peer import reason
from gateway.mllp.permit import Permit, PermitEnded
from gateway.routing import Destination, Folder, Mllp
from gateway.runtime import clock
from gateway.runtime.errors import ConnectFailed, ConnectionLost, SendFailed
from gateway.store.feed.messages import Head
from mappings.profile import Receiver

_PRIVATE: Final = 0o600
_LOST: Final = 2  # messages in a row, each on a connection that had answered one
Late = Callable[[Acknowledgement, str], None]


class Channel(Protocol):
    """Connection to a destination that carries one message at a time.

    `where` describes the connection that carried the last message, `received` holds its answer as it came (D39).
    """

    where: str
    received: bytes

    @property
    def is_late(self) -> bool:
        """True if some of the last message may have been written after the permit ended."""

    async def exchange(self, head: Head) -> Acknowledgement | None:
        """Send a message and return its acknowledgement; None if the transport has none and accepted the message.

        Raises:
            FeedError: it was not delivered, or that is unknown; the class says how much the receiver may have.
            PermitEnded: the permit was over, and the receiver got no complete message.
        """

    async def rest(self) -> None:
        """Do upkeep while no message waits."""

    async def close(self) -> None:
        """Close the channel."""


class MllpChannel:
    """MLLP connection that stays open; `late` is called with each acknowledgement that no message waits for.

    A receiver that loses two messages in a row, each written to a connection that had answered one, closes after each:
    from then on each message has a connection of its own.
    """

    def __init__(self, transport: Mllp, receiver: Receiver, payload: PayloadKind, late: Late, permit: Permit) -> None:
        self._transport, self._receiver, self._payload = transport, receiver, payload
        self._late, self._permit = late, permit
        self.is_late = False
        self.where, self.received = towards(str(transport)), b""
        self._endpoint = replace(transport.endpoint, keepalive=receiver.keepalive)
        self._connection: Connection | None = None
        self._unreported: list[tuple[Acknowledgement, str]] = []
        self._used = clock.monotonic()
        self._lost = 0

    async def exchange(self, head: Head) -> Acknowledgement | None:
        """Send a message and return its acknowledgement, as `Channel.exchange`."""
        self._report_late()
        self.is_late = False
        idle, limit = clock.monotonic() - self._used, self._receiver.idle_close
        if self._connection is not None and limit and idle > limit:
            await self._drop()
        kept = self._connection
        try:
            answer = await self._sent(head)
        except ConnectFailed:
            if kept is None:
                raise
            await self._drop()  # the peer had closed the idle connection, and nothing was sent
            answer = await self._sent(head)
        except (ConnectionLost, SendFailed):
            self._lost += kept is not None and self._connection is kept
            raise
        if kept is not None and self._connection is kept:
            self._lost = 0
        if self._transport.close_after_each or self._lost >= _LOST:
            await self._drop()
        return acknowledged(self._payload, answer)

    async def rest(self) -> None:
        """Report late acknowledgements; close a connection that was idle for too long."""
        self._report_late()
        limit = self._receiver.idle_close
        if self._connection is not None and limit and clock.monotonic() - self._used > limit:
            await self._drop()

    async def close(self) -> None:
        """Close the connection, if any, and report its late acknowledgements."""
        await self._drop()
        self._report_late()

    async def _drop(self) -> None:
        self._collect_late()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _sent(self, head: Head) -> bytes:
        if self._connection is None or not self._connection.usable:
            await self._drop()
            self.where, self.received = towards(str(self._transport)), b""
            self._connection = await Connection.open(self._endpoint, self._permit)
        connection = self._connection
        self.where, self.received = connection.where, b""
        try:
            self.received = await connection.exchange(head.body, answers=partial(self._answers, head.control_id))
            return self.received
        finally:
            self.received = self.received or connection.stray
            self._used, self.is_late = clock.monotonic(), connection.is_late

    def _answers(self, control_id: str, frame: bytes) -> bool:
        """True if a frame acknowledges the message with that control id."""
        ack = acknowledged(self._payload, frame)
        return ack is not None and ack.control_id == control_id

    def _collect_late(self) -> None:
        for event in self._connection.take_unasked() if self._connection else ():
            ack = acknowledged(self._payload, event.payload) if isinstance(event, Frame) else None
            if ack is not None:
                self._unreported.append((ack, self.where))

    def _report_late(self) -> None:
        """Pass late acknowledgements on to `late`.

        Called only once the last message's result is stored, since its application acknowledgement may follow at once.
        """
        self._collect_late()
        unreported, self._unreported = self._unreported, []
        for ack, where in unreported:
            self._late(ack, where)


class FolderChannel:
    """Folder of message files: a file appears when it is whole and on disk; names sort by message number."""

    def __init__(self, transport: Folder, payload: PayloadKind, permit: Permit) -> None:
        self._path, self._mode, self._payload, self._permit = transport.path, transport.file_mode, payload, permit
        self.is_late = False
        self.where, self.received = towards(str(transport)), b""

    async def exchange(self, head: Head) -> Acknowledgement | None:
        """Write a message as a file, as `Channel.exchange`; sending it again replaces the file by the same bytes."""
        self.is_late = False
        name = f"{head.number:012d}-{head.control_id}.{self._payload.suffix}"
        try:
            part = await asyncio.to_thread(_written, self._path / f".{name}.part", head.body, self._mode)
        except OSError as error:  # no reader sees the file before it has its final name
            raise ConnectFailed(str(self._path), reason(error)) from None
        try:
            await asyncio.to_thread(_named, part, self._path / name, self._permit)
            self.is_late = not self._permit.is_in_time
        except PermitEnded:
            part.unlink(missing_ok=True)
            raise
        except OSError as error:
            raise SendFailed(str(self._path), reason(error)) from None
        return None

    async def rest(self) -> None:
        """Do nothing: no connection is kept open."""

    async def close(self) -> None:
        """Do nothing: no connection is open."""


def channel(destination: Destination, payload: PayloadKind, late: Late, permit: Permit) -> Channel:
    """Create the channel of a destination; it writes only while `permit` allows."""
    transport, receiver = destination.transport, destination.receiver
    if isinstance(transport, Mllp):
        return MllpChannel(transport, receiver, payload, late, permit)
    if isinstance(transport, Folder):
        return FolderChannel(transport, payload, permit)
    return HttpChannel(transport, receiver, payload, permit)


def _written(part: Path, body: bytes, mode: int) -> Path:
    """Write a new file that is never readable to others; replaces what a dead process left."""
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
        file.write(body)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    return part


def _named(part: Path, file: Path, permit: Permit) -> None:
    permit.check()
    part.replace(file)
    handle = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
