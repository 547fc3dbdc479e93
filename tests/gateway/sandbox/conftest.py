"""Fixtures: a sandbox on a loopback port, a mailbox for webhooks, a raw socket to the MLLP receiver."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.mllp.framing import Decoder, encode
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.webhooks import WebhookTarget

WEBHOOK_KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@dataclass
class Mailbox:
    """Receives webhooks: keeps (headers, body) of each and answers with the next status, 200 when there is none."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    reply: bytes = b'{"success": true}'
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def target(self) -> WebhookTarget:
        return WebhookTarget(self.url, WEBHOOK_KEY, wait=0.002)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            box.received.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(box.answers.pop(0) if box.answers else 200)
            self.send_header("content-length", str(len(box.reply)))
            self.end_headers()
            self.wfile.write(box.reply)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        box.url = f"http://127.0.0.1:{http_server.server_address[1]}/webhooks/autoscribe"
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield box
        http_server.shutdown()
        thread.join()


class Sender:
    """A plain socket: what a sender sees on the wire."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._decoder = Decoder(1_000_000)
        self._frames: list[bytes] = []

    @classmethod
    async def connect(cls, port: int) -> "Sender":
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def say(self, payload: bytes) -> None:
        await self.send(encode(payload))

    async def some(self, within: float = 60) -> bytes:
        """Read once; b"" if the peer has closed. Raises ConnectionResetError, TimeoutError."""
        async with asyncio.timeout(within):
            return await asyncio.get_running_loop().sock_recv(self.socket, 65_536)

    async def answer(self, within: float = 60) -> bytes:
        """The content of the next frame."""
        while not self._frames:
            data = await self.some(within)
            assert data, "closed before an answer came"
            self._frames += [event.payload for event in self._decoder.feed(data)]
        return self._frames.pop(0)

    async def rest(self, within: float = 60) -> tuple[bytes, str]:
        """Read the remaining bytes; return them and the state of the connection: closed, reset or open."""
        came = b""
        try:
            while data := await self.some(within):
                came += data
        except ConnectionResetError:
            return came, "reset"
        except TimeoutError:
            return came, "open"
        return came, "closed"


@pytest.fixture
async def facing():
    """Start a receiver with a SPEC and connect a raw socket: `receiver, sender = await facing("ar:3")`."""
    async with contextlib.AsyncExitStack() as stack:

        async def face(ack, **options):
            receiver = await stack.enter_async_context(MllpReceiver(port=0, ack=ack, **options))
            return receiver, await connect(receiver)

        async def connect(receiver):
            sender = await Sender.connect(receiver.port)
            stack.callback(sender.socket.close)
            return sender

        face.again = connect
        yield face
