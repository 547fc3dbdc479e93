"""Third-party MLLP servers, each in its own process, with the limits and needed settings of each.

HL7 Transport Specification: MLLP, Release 1; HL7 v2.5.1 §2.9.2. A server is called with its port, its settings and the
wanted fields of each segment, the last two as JSON. It writes JSON lines: that it listens, then of each message, before
it acknowledges it, MSH-10 and what its own parser read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from conformance.corpus import NASTY
from conformance.outside import java, node
from conformance.outside_parsers import WAIVERS, Waiver
from conformance.reading import WANTED
from fakes.ports import free_port

HERE = Path(__file__).parent
Ability = Literal["second message on a connection", "message before the last is answered"]
PATIENCE = 60.0  # seconds
UMLAUTS = "FINDINGS:\nGröße 5 µm, ÄÖÜ äöü ß, Gefäße o.B. \U0001fac1\U0001f9b4 👩🏽‍⚕️\nIMPRESSION:\nUnauffällig."
OVER_64_KIB = "FINDINGS:\n" + ("Nothing of note is seen in any of the many regions. " * 18 + "\n") * 75


def _python(module: str) -> Callable[..., list[str]]:
    return lambda *given: [sys.executable, "-m", f"conformance.receivers.{module}", *given]


@dataclass(frozen=True, slots=True)
class Server:
    """A server: the command that starts it, and its parser."""

    name: str
    command: Callable[..., list[str]]
    parser: str

    def can(self, what: Ability) -> bool:
        """True if the table says that the server can do this."""
        return not any((one.server, one.what) == (self.name, what) for one in LIMITS)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the server."""
        return {one.key: one.value for one in SETTINGS if one.server == self.name}

    @property
    def waivers(self) -> list[Waiver]:
        """Known parser differences of the server."""
        return [one for one in WAIVERS if one.parser == self.parser] + [
            one for one in READ_OTHERWISE if one.parser == self.name
        ]


@dataclass(frozen=True, slots=True)
class Limit:
    """Limit of a server, with its reason."""

    server: str
    what: Ability
    reason: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Setting that a server needs, its reason, and a text that fails without; `answers`: the server still says AA."""

    server: str
    key: str
    value: Any
    reason: str
    text: str = field(repr=False)
    answers: bool


SERVERS = (
    Server("@medplum/hl7", lambda *given: node("receive.mjs", "@medplum/hl7", *given, under=HERE), "@medplum/core"),
    Server("simple-hl7", lambda *given: node("receive.mjs", "simple-hl7", *given, under=HERE), "simple-hl7"),
    Server("hl7.mllp", _python("hl7_server"), "hl7"),
    Server("hl7apy MLLPServer", _python("hl7apy_server"), "hl7apy"),
    Server("HAPI HL7Service", lambda *given: java("hapi", "Receive.java", *given, under=HERE), "HAPI HL7v2"),
)
LIMITS = (
    Limit("hl7apy MLLPServer", "second message on a connection", "closes when it has answered one"),
    Limit("hl7apy MLLPServer", "message before the last is answered", "closes when it has answered one"),
    Limit("simple-hl7", "message before the last is answered", "takes all that came for one, once its end is an end"),
)
SETTINGS = (
    Setting("hl7.mllp", "encoding", "utf-8", "takes bytes for ASCII, and answers nothing that is none", UMLAUTS, False),
    Setting("hl7.mllp", "limit", 1 << 24, "takes and answers nothing over 64 KiB, as asyncio", OVER_64_KIB, False),
    Setting("HAPI HL7Service", "respectMSH18", True, "takes bytes for US-ASCII, whatever MSH-18 says", UMLAUTS, True),
)
# Beside the waivers of the parsers
READ_OTHERWISE = (
    Waiver("HAPI HL7Service", "trims blanks around a text by its rules", lambda leaf: leaf.strip(" "), on_both=True),
)
TEXTS = (UMLAUTS, OVER_64_KIB, *(NASTY[name] for name in ("delimiters", "escapes that are text", "blanks", "scripts")))


class Receiving:
    """A server on a port of its own that can be stopped and started again; what it reads is kept in a folder."""

    def __init__(self, server: Server, folder: Path, settings: dict[str, Any] | None = None) -> None:
        self.port = free_port()
        told = server.settings if settings is None else settings
        self._command = server.command(str(self.port), json.dumps(told), json.dumps(WANTED))
        self._folder = folder
        self._outputs: list[Path] = []

    def start(self) -> None:
        """Start it, and wait until it listens."""
        output, errors = (self._folder / f"receiver-{len(self._outputs)}.{kind}" for kind in ("out", "err"))
        self._outputs.append(output)
        path = {"PYTHONPATH": str(HERE.parents[1])}
        with output.open("w") as out, errors.open("w") as err:
            self._process = subprocess.Popen(
                self._command, cwd=output.parent, env={**os.environ, **path}, stdout=out, stderr=err
            )
        until = time.monotonic() + PATIENCE
        while not _lines(output):
            assert self._process.poll() is None and time.monotonic() < until, errors.read_text()[-2000:]
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as whoever supervises a service does, by SIGTERM."""
        self._process.terminate()
        self._process.wait(30)

    def messages(self) -> list[dict[str, Any]]:
        """`control_id` and `reading` of each message so far."""
        return [one for output in self._outputs for one in _lines(output)[1:]]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _lines(output: Path) -> list[dict[str, Any]]:
    """Return the complete lines; a stopped server may leave a partial one."""
    return [json.loads(line) for line in output.read_bytes().split(b"\n")[:-1]]
