"""One connection to the gateway, and HTTP/1.1 on it by hand: nothing between the test and the bytes.

RFC 9110 §5.3 (a field on several lines is one list), RFC 9112 §6 (message body) and §9.3 (persistence).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_WITHOUT_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by their names in lower case, and the body, still encoded as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """A socket on which requests are written and answers are read, in whatever order a test wants."""

    def __init__(self, line: socket.socket, host: str) -> None:
        self._line, self._host = line, host
        self._answers = line.makefile("rb")

    def send(self, *requests: str | bytes) -> None:
        """Write several requests in one write."""
        self._line.sendall(b"".join(one.encode() if isinstance(one, str) else one for one in requests))

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """The bytes of a request; `Content_Type` in the headers stands for `Content-Type`."""
        given = {"Host": self._host, **({"Content-Length": str(len(body))} if body else {}), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body

    def get(self, path: str, **headers: str) -> Answer:
        """The answer to a GET."""
        self.send(self.request("GET", path, **headers))
        return self.answer()

    def answer(self, method: str = "GET") -> Answer:
        """Read the next answer, to a request with this method."""
        status = int(self._answers.readline().split()[1])
        headers: dict[str, str] = {}
        for name, value in self._headers():
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        assert "transfer-encoding" not in headers, "the length of every answer here is known"
        has_body = method != "HEAD" and status >= 200 and status not in _WITHOUT_BODY
        return Answer(status, headers, self._answers.read(int(headers["content-length"])) if has_body else b"")

    def is_closed(self) -> bool:
        """True if the gateway has closed the connection, after all its bytes were read."""
        return self._answers.read(1) == b""

    def _headers(self) -> Iterator[tuple[str, str]]:
        while line := self._answers.readline().strip():
            name, _, value = line.decode().partition(":")
            yield name.lower(), value.strip()


@contextmanager
def connection(base: str) -> Iterator[Connection]:
    """A connection to the host of a FHIR base, open while the block runs."""
    url = urlsplit(base)
    with socket.create_connection((url.hostname, url.port), timeout=20) as line:
        yield Connection(line, url.netloc)
