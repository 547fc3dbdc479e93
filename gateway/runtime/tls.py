"""TLS settings of one side of connections, the SSL contexts built from them, and the HTTP server's certificate.

RFC 8446 and RFC 5246 through Python's ssl module; names and minimum version as IHE ITI TF-1 §9.1 (ATNA, BCP 195) asks;
RFC 9325 §3.1.1 (TLS 1.2 or later), §4.2 (forward secrecy and AEAD ciphers); decision D40. The server's certificate is
exchanged while it serves when its files change. New files are tried beside the ones in use: a certificate that cannot
serve, or has expired, changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import alongside, forever


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS settings of a client or a server. A server's certificate and name are always verified.

    `ca_file` (PEM) replaces the system's trust store. `certificate_file` and `key_file` (PEM; the key may be in the
    first) are shown to a peer that asks for a client certificate. `server_hostname` is the name that the peer's
    certificate must hold, if it is not the host connected to.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    server_hostname: str | None = None


def tls_context(settings: TlsSettings, source: str) -> ssl.SSLContext:
    """Return a client context, TLS 1.2 or later; files are read on each call, so that a renewed certificate is used.

    Raises:
        ConfigError: a file cannot be read or has wrong content; the error names `source` and the key `tls.…`.
    """
    context = _trusting(settings, source)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate_file is not None:
        _show_certificate(context, settings, settings.certificate_file, source)
    elif settings.key_file is not None:
        remedy = "Name the certificate that tls.key_file belongs to."
        raise ConfigError(source, "tls.certificate_file", "missing", remedy)
    return context


def server_context(settings: TlsSettings, source: str) -> ssl.SSLContext:
    """Return a server context, TLS 1.2 or later, with the certificate of the settings.

    If `ca_file` is set, clients must show a certificate issued by one of its authorities.

    Raises:
        ConfigError: as `tls_context`; or no certificate is set.
    """
    context = _trusting(settings, source, ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate_file is None:
        raise ConfigError(source, "tls.certificate_file", "missing", "Name a certificate and its key.")
    _show_certificate(context, settings, settings.certificate_file, source)
    context.verify_mode = ssl.CERT_NONE if settings.ca_file is None else ssl.CERT_REQUIRED
    return context


def _trusting(settings: TlsSettings, source: str, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(purpose, cafile=settings.ca_file)
    except OSError as error:
        problem = _problem(error)
        raise ConfigError(source, "tls.ca_file", problem, "Name a readable PEM file of CA certificates.") from None


def _show_certificate(context: ssl.SSLContext, settings: TlsSettings, certificate: Path, source: str) -> None:
    # A callable, because without a password ssl would prompt on the terminal for that of an encrypted key.
    password = settings.key_password or ""
    try:
        context.load_cert_chain(certificate, settings.key_file, password=lambda: password)
    except OSError as error:
        remedy = "Name a readable PEM certificate in tls.certificate_file and its key in tls.key_file."
        raise ConfigError(source, "tls.certificate_file", _problem(error), remedy) from None


def _problem(error: OSError) -> str:
    """Return what is wrong with a file, without its content (ssl.SSLError is an OSError)."""
    if isinstance(error, ssl.SSLError):
        return "not PEM, or certificate, key and password do not belong together"
    return "cannot be read" + (f" ({error.strerror})" if error.strerror else "")


CHECK_EVERY: Final = 30.0  # seconds
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of TLS 1.3 are all good


class ServerCertificate:
    """Certificate in use; `expires` is told until when it is valid.

    Raises:
        ConfigError: a file cannot be read, or the files do not belong together.
    """

    def __init__(self, files: TlsSettings, source: str, expires: Callable[[datetime], object]) -> None:
        self._files, self._source, self._expires = files, source, expires
        self._seen = self._digest()
        self._context = http_context(files, source)
        expires(valid_until(files))

    def context(self) -> ssl.SSLContext:
        """Return what a new connection is served with."""
        return self._context

    async def renew(self) -> None:
        """Use the files if they changed and can serve; else say once what is wrong with them, and go on as before."""
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
    """Yield what returns the context for a new connection, and renew it while the block runs; None: no certificate.

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
    return x509.load_pem_x509_certificates((files.certificate_file or Path()).read_bytes())[0].not_valid_after_utc
