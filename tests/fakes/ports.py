"""Ports that a server can be given before it starts.

A port that the system hands out for 0 may be handed to another test a moment later, which then answers in the server's
place. These stand below the range that the system hands out, and each process of the tests goes through them elsewhere.
"""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress

_FIRST, _HOW_MANY = 10_000, 22_000  # Linux hands out 32768 to 60999
_turns = itertools.count(os.getpid() * 1_009)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port of this machine without a listener, another one each time."""
    for turn in itertools.islice(_turns, _HOW_MANY):
        port = _FIRST + turn % _HOW_MANY
        with suppress(OSError), socket.create_server((host, port)):
            return port
    raise RuntimeError("no port is free")


def free_address() -> tuple[str, int]:
    """Return an address of this machine without a listener, another one each time."""
    return "127.0.0.1", free_port()
