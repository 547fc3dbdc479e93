"""TLS settings of one side of connections, the SSL contexts built from them, and the certificates that peers showed.

RFC 8446 and RFC 5246 through Python's ssl module; names and minimum version as IHE ITI TF-1 §9.1 (ATNA, BCP 195) asks;
RFC 5280 §4.1.2.5 (validity).
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway.runtime.errors import ConfigError


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


def ends_of(path: Path) -> tuple[datetime, ...]:
    """Return when each certificate of a PEM file expires, in the order of the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds no certificate.
    """
    from cryptography import x509

    return tuple(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(path.read_bytes()))


class ShownCertificates:
    """Certificates that peers showed to this process. Any thread may note one."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[bytes, datetime]] = {}

    def note(self, address: str, tls: Any) -> None:
        """Note the certificate of the peer at `host:port`; `tls` is an SSL object, or None without TLS."""
        der = tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLObject | ssl.SSLSocket) else None
        if der is not None and self._shown.get(address, (b"",))[0] != der:
            from cryptography import x509

            with suppress(ValueError):  # what TLS accepted may still be odd, and a message must go on
                self._shown[address] = der, x509.load_der_x509_certificate(der).not_valid_after_utc

    @property
    def ends(self) -> dict[str, datetime]:
        """End of the certificate of each peer, by address."""
        return {address: until for address, (_, until) in self._shown.copy().items()}


SHOWN: Final = ShownCertificates()
