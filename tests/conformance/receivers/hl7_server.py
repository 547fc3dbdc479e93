"""Receives HL7 v2 messages over MLLP with `hl7.mllp`, as its documentation starts it.

https://python-hl7.readthedocs.io/en/latest/mllp.html. Arguments and output: tests/conformance/receivers/servers.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import hl7
from conformance.reading import WANTED, Reading
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server


async def receive(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
    """Read what comes on a connection until its end, acknowledging each message by `create_ack`."""
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            write({"control_id": str(message["MSH.F10"]), "reading": reading(message)})
            writer.writemessage(message.create_ack())
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()
        await writer.wait_closed()


def reading(message: hl7.Message) -> Reading:
    """Return the wanted fields as hl7 parsed them, each leaf unescaped by hl7."""
    return [
        (str(segment[0]), {str(n): field(message, segment[n]) for n in WANTED[str(segment[0])] if n < len(segment)})
        for segment in message
        if str(segment[0]) in WANTED
    ]


def field(message: hl7.Message, given: Any) -> list[list[list[str]]]:
    """A field as `tests/conformance/reading.py` has it."""
    repetitions = [one if isinstance(one, hl7.Repetition) else [one] for one in given]
    return [
        [[message.unescape(str(leaf)) for leaf in (c if isinstance(c, hl7.Component) else [c])] for c in one]
        for one in repetitions
    ]


def write(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def main(port: int, settings: dict[str, Any]) -> None:
    server = await start_hl7_server(receive, "127.0.0.1", port, **settings)
    write({"listening": port})
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(sys.argv[2])))
