"""Read a PDF from a link of AutoScribe: check the host, recognize a PDF by its first bytes, and limit the length.

RFC 8118, magic number (ISO 32000-2 §7.5.2): a PDF begins with the five characters `%PDF-`; decision D28. The host is
the API's or on the allow-list; without TLS only on this machine. The link is a secret while it is valid, so no text has
it.
Proved by tests/gateway/upstream/test_stream_pdf.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.runtime.errors import PdfUnavailable
from gateway.settings import is_loopback

OPERATION: Final = "GET the PDF"
_SIGNATURE: Final = b"%PDF-"
_TOO_LARGE: Final = "larger than upstream.max_pdf_bytes"
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Allow-list: `places` are (host, port) pairs; `own` is the API's checked (scheme, host, port)."""

    places: frozenset[tuple[str, int | None]]
    own: tuple[str, str, int]

    @classmethod
    def of(cls, hosts: Iterable[str], base_url: str) -> AllowedHosts:
        """Build the list from `pdf.allowed_hosts` (`host` means the scheme's default port) and `upstream.base_url`."""
        base = urlsplit(base_url)
        own = (base.scheme, base.hostname or "", base.port or _DEFAULT_PORTS[base.scheme])
        return cls(frozenset(_place(host) for host in hosts), own)

    def refusal(self, scheme: str, host: str, port: int | None, *, userinfo: bool) -> str:
        """Return the rule that forbids a link, without the link; empty if it may be followed."""
        if scheme not in _DEFAULT_PORTS or userinfo:
            return "the link is not an https URL without a user"
        effective = port or _DEFAULT_PORTS[scheme]
        if (scheme, host, effective) == self.own:
            return ""
        if scheme == "http" and not is_loopback(host):
            return "the link is http to another machine"
        if (host, effective) in self.places or ((host, None) in self.places and effective == _DEFAULT_PORTS[scheme]):
            return ""
        return "the link's host is not in pdf.allowed_hosts"


def _place(entry: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{entry.lower()}")
    return parts.hostname or "", parts.port


class PdfStream:
    """Bytes of a PDF: `async for chunk in stream`, once. `size` is its length in bytes if the host states it."""

    def __init__(self, head: bytes, chunks: AsyncIterator[bytes], size: int | None, limit: int) -> None:
        self.size = size
        self._head, self._chunks, self._limit = head, chunks, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield chunks as they arrive.

        Raises:
            PdfUnavailable: the PDF is larger than allowed.
            PdfInterrupted: the connection broke.
        """
        total = len(self._head)
        yield self._head
        async for chunk in self._chunks:
            total += len(chunk)
            if total > self._limit:
                raise PdfUnavailable(OPERATION, detail=_TOO_LARGE)
            yield chunk


def is_compressed(headers: Mapping[str, str]) -> bool:
    """True for a Content-Encoding (RFC 9110 §8.4). None is asked for: a small body could unpack into a huge one."""
    return headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}


async def begin(headers: Mapping[str, str], chunks: AsyncIterator[bytes], limit: int) -> PdfStream:
    """Check the headers and the first bytes of a 200 answer, and return the stream.

    Raises:
        PdfUnavailable: compressed, larger than `limit` bytes, or no PDF.
        PdfInterrupted: the connection broke before that could be checked.
    """
    if is_compressed(headers):
        raise PdfUnavailable(OPERATION, detail="compressed, which was not asked for")
    length = headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= len(_SIGNATURE):
            break
    if not head.startswith(_SIGNATURE):
        raise PdfUnavailable(OPERATION, detail="the bytes are not those of a PDF")
    if max(size or 0, len(head)) > limit:
        raise PdfUnavailable(OPERATION, detail=_TOO_LARGE)
    return PdfStream(head, chunks, size, limit)
