"""TLS for a destination: settings and the contexts made from them, of a client and of a server.

RFC 8446 and RFC 5246 through Python's ssl module; names and minimum version as IHE ITI TF-1 §9.1 (ATNA, BCP 195) asks.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from gateway.runtime.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How a destination's TLS is set up. The peer's certificate and name are always verified.

    `ca_file` (PEM) replaces the system's trust store; `certificate_file` and `key_file` (PEM, the key may stand in the
    first) are shown to a peer that asks for a client certificate; `server_hostname` is the name that the peer's
    certificate must hold where it is not the host connected to.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    server_hostname: str | None = None


def tls_context(settings: TlsSettings, source: str) -> ssl.SSLContext:
    """A client context, TLS 1.2 at least. The files are read each time, so that a changed certificate is taken up.

    Raises:
        ConfigError: a file cannot be read or is not what it should be; names `source` and the key `tls.…`.
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
    """A server context, TLS 1.2 at least, that shows the certificate which is there for a peer that asks for one.

    Where `ca_file` is named, whoever connects must show a certificate of its authorities.

    Raises:
        ConfigError: as `tls_context`; or there is no certificate to show.
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
    # A callable, because ssl would ask on the terminal for the password of an encrypted key when none is given.
    password = settings.key_password or ""
    try:
        context.load_cert_chain(certificate, settings.key_file, password=lambda: password)
    except OSError as error:
        remedy = "Name a readable PEM certificate in tls.certificate_file and its key in tls.key_file."
        raise ConfigError(source, "tls.certificate_file", _problem(error), remedy) from None


def _problem(error: OSError) -> str:
    """What is wrong with a file, without what is in it (ssl.SSLError is an OSError)."""
    if isinstance(error, ssl.SSLError):
        return "not PEM, or certificate, key and password do not belong together"
    return "cannot be read" + (f" ({error.strerror})" if error.strerror else "")
