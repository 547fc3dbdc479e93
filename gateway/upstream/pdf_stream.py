"""Read a PDF as a stream: recognize a PDF by the first bytes, not by headers, and limit the length.

RFC 8118, magic number (ISO 32000-2 §7.5.2): a PDF begins with the five characters `%PDF-`.
Proved by tests/gateway/upstream/test_stream_pdf.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

from gateway.runtime.errors import PdfUnavailable

OPERATION: Final = "GET the PDF"
_SIGNATURE: Final = b"%PDF-"
_TOO_LARGE: Final = "larger than upstream.max_pdf_bytes"


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
