"""Load the HTTP server's certificate, and replace it while serving when its files change.

RFC 9325 §3.1.1 (TLS 1.2 or later), §4.2 (forward secrecy and AEAD ciphers); decision D40. New files are tried beside
the ones in use: a certificate that cannot serve, or has expired, changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import alongside, forever
from gateway.runtime.tls import TlsSettings, ends_of, server_context

CHECK_EVERY: Final = 30.0  # seconds
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of TLS 1.3 are all good


class ServerCertificate:
    """Certificate in use; `expires` is called with the end of its validity.

    Raises:
        ConfigError: a file cannot be read, or the files do not belong together.
    """

    def __init__(self, files: TlsSettings, source: str, expires: Callable[[datetime], object]) -> None:
        self._files, self._source, self._expires = files, source, expires
        self._seen = self._digest()
        self._context = http_context(files, source)
        expires(valid_until(files))

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for new connections."""
        return self._context

    async def renew(self) -> None:
        """Load the files again if they changed and are valid; else log the fault once, and keep the old certificate."""
        await asyncio.to_thread(self._renew)

    def _renew(self) -> None:
        seen = self._digest()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            context, until = http_context(self._files, self._source), valid_until(self._files)
        except (ConfigError, OSError, ValueError):
            get_logger().error("certificate-not-renewed", code="not-usable")
            return
        if until <= clock.now():
            get_logger().error("certificate-not-renewed", code="expired")
            return
        self._context = context
        self._expires(until)
        get_logger().info("certificate-renewed")

    def _digest(self) -> bytes:
        """Digest of all files; a file that cannot be read counts as empty."""
        digest = hashlib.sha256()
        for path in (self._files.certificate_file, self._files.key_file, self._files.ca_file):
            with suppress(OSError):
                digest.update(hashlib.sha256(path.read_bytes() if path else b"").digest())
        return digest.digest()


@asynccontextmanager
async def kept_new(
    files: TlsSettings, source: str, expires: Callable[[datetime], object]
) -> AsyncIterator[Callable[[], ssl.SSLContext] | None]:
    """Yield a function that returns the TLS context, and renew it while the block runs; None without a certificate.

    Raises:
        ConfigError: as `ServerCertificate`.
    """
    if files.certificate_file is None:
        yield None
        return
    certificate = ServerCertificate(files, source, expires)
    async with alongside([forever(certificate.renew, CHECK_EVERY, not_done="certificate-not-renewed")]):
        yield certificate.context


def http_context(files: TlsSettings, source: str) -> ssl.SSLContext:
    """Return the context of an HTTP server with this certificate.

    Raises:
        ConfigError: as `server_context`.
    """
    context = server_context(files, source)
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could keep the server busy with handshakes
    return context


def valid_until(files: TlsSettings) -> datetime:
    """Return when the certificate expires, in UTC.

    Raises:
        OSError: its file cannot be read.
        ValueError: its file holds no certificate.
    """
    return ends_of(files.certificate_file or Path())[0]
