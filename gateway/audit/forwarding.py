"""Send a copy of each audit entry to a syslog receiver over TLS; what was not sent yet stays in the journal's files.

RFC 5425 (syslog over TLS); IHE ITI-20 (https://profiles.ihe.net/ITI/TF/Volume2/ITI-20.html); decision D42. A receiver
acknowledges nothing. So a line counts as sent once the connection has outlived it for some seconds, and after a broken
connection all lines since then are sent again: a receiver may get one twice, and tells them by the line that they name.
Proved by tests/gateway/audit/test_forwarding.py.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.loading import grown, read_lines
from gateway.audit.segment import digest_of
from gateway.audit.segment_file import segment_of
from gateway.audit.syslog_message import Body, JournalLine, syslog_frames
from gateway.audit.verification import machine_of
from gateway.runtime import clock
from gateway.runtime.errors import AuditNotForwarded, ConfigError
from gateway.runtime.loops import forever
from gateway.runtime.own_file import flush_folder, open_private
from gateway.runtime.tls import SHOWN, TlsSettings, tls_context
from gateway.store.audit_entries import LoadedTo

EVERY: Final = 1.0  # seconds
SETTLED: Final = 10.0  # seconds that a connection must outlive a line
_PATIENCE: Final = 60.0  # seconds of trouble until it is an alert
_TIME: Final = 10.0  # seconds to connect, or for the receiver to take what was sent
_PLACES: Final = "audit-forwarded.json"
_LOCK: Final = "audit-forwarding.lock"

Places = dict[str, LoadedTo]


@dataclass(frozen=True, slots=True)
class SyslogReceiver:
    """Receiver of the copies: address, TLS files, body of the messages, and base of the site's own definitions."""

    host: str
    port: int
    tls: TlsSettings
    body: Body
    canonical: str


class AuditForwarding:
    """Forwarder of the journals in a folder; only one process of a machine forwards."""

    def __init__(self, folder: Path, receiver: SyslogReceiver) -> None:
        self.receiver, self._folder = receiver, folder
        self._lock: int | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None
        self._sent: Places = {}
        self._settling: tuple[float, Places] | None = None
        self._failing_since: float | None = None

    @property
    def trouble(self) -> str:
        """Code of the alert once no entry could be sent for `_PATIENCE`, else empty."""
        since = self._failing_since
        return AuditNotForwarded.code if since is not None and clock.monotonic() - since >= _PATIENCE else ""

    async def run(self) -> None:
        """Send new entries every second, until cancelled."""
        try:
            await forever(self.turn, EVERY, not_done="audit-not-forwarded")
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection, and let another process forward."""
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def turn(self) -> None:
        """Send all complete lines that were not sent before.

        Raises:
            AuditNotForwarded: the receiver cannot be reached, or the journal cannot be read; a later turn goes on.
        """
        try:
            if not await asyncio.to_thread(self._is_mine):
                return
            await self._connect()
            for path in await asyncio.to_thread(grown, self._folder, self._sent):
                while await self._send(path):
                    pass
            await self._settle()
            self._failing_since = None
        except (OSError, TimeoutError, ConfigError) as error:
            self._disconnect()
            if self._failing_since is None:
                self._failing_since = clock.monotonic()
            raise AuditNotForwarded("no copy of the audit leaves this machine") from error

    def _is_mine(self) -> bool:
        """Take the lock of the folder, if no other process has it."""
        if self._lock is None:
            lock = open_private(self._folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    async def _connect(self) -> None:
        """Open a connection if there is none, and continue after the last entry known to have arrived."""
        if self._writer is not None and self._reader is not None:
            if not self._reader.at_eof() and not self._writer.is_closing():
                return
            self._disconnect()
        receiver = self.receiver
        context = tls_context(receiver.tls, "audit.syslog")
        async with asyncio.timeout(_TIME):
            opened = asyncio.open_connection(receiver.host, receiver.port, ssl=context)
            self._reader, self._writer = await opened
        SHOWN.note(f"{receiver.host}:{receiver.port}", self._writer.get_extra_info("ssl_object"))
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_TIME * 1_000))
        self._sent, self._settling = await asyncio.to_thread(_places, self._folder), None

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _send(self, path: Path) -> bool:
        """Send the next lines of a segment; return False if there are none."""
        segment, receiver = segment_of(path), self.receiver
        before = self._sent.get(segment, LoadedTo())
        lines, after = await asyncio.to_thread(read_lines, path, before)
        if after == before or self._writer is None:
            return False
        for line, row in lines:
            if isinstance(line.content, AuditEntry):
                place = JournalLine(segment, line.sequence, digest_of(row))
                named = machine_of(segment), receiver.body, receiver.canonical
                self._writer.write(syslog_frames(line.content, place, *named))
        async with asyncio.timeout(_TIME):
            await self._writer.drain()
        self._sent[segment] = after
        return True

    async def _settle(self) -> None:
        """Store as sent what went out some seconds ago over a connection that is still open."""
        if self._settling is None:
            self._settling = clock.monotonic(), dict(self._sent)
        elif clock.monotonic() - self._settling[0] >= SETTLED:
            await asyncio.to_thread(_store_places, self._folder, self._settling[1])
            self._settling = None


def _places(folder: Path) -> Places:
    """Return how far each segment was sent; empty if unknown, which means that all is sent again."""
    with suppress(FileNotFoundError, ValueError, TypeError):
        said = json.loads((folder / _PLACES).read_bytes())
        return {name: LoadedTo(**place) for name, place in said.items()}
    return {}


def _store_places(folder: Path, places: Places) -> None:
    """Replace the file that tells how far each segment was sent. May raise `OSError`."""
    path = folder / _PLACES
    new = path.with_name(f"{path.name}.new")
    opened = open_private(new, os.O_WRONLY | os.O_TRUNC)
    with os.fdopen(opened, "w") as file:
        json.dump({name: asdict(place) for name, place in places.items()}, file)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    flush_folder(folder)
