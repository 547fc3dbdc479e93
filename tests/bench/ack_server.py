"""A fast receiver that acknowledges every message, at once or after a delay.

`python ack_server.py [milliseconds]` listens on a free port that it prints.
"""

from __future__ import annotations

import asyncio
import sys

_END = b"\x1c\r"


class Acknowledging(asyncio.Protocol):
    """Answers each frame with AA of its MSH-10."""

    def __init__(self, delay: float = 0.0) -> None:
        self._delay, self._rest = delay, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *frames, self._rest = (self._rest + data).split(_END)
        for frame in frames:
            control_id = frame.split(b"|", 10)[9]
            ack = b"\x0bMSH|^~\\&|R|F|S|F|20260101||ACK|1|P|2.5.1\rMSA|AA|" + control_id + b"\r" + _END
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._transport.write, ack)
            else:
                self._transport.write(ack)


async def main(delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Acknowledging(delay), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0))
