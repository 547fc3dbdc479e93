"""Scripted HTTP/1.1 server on a loopback port: it can also cut bodies, trickle, reset, hang and wait."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from fakes.listening import listening


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)  # an empty value removes a header
    manner: str = "whole"  # whole | cut | trickle | hang | reset | silent
    gate: asyncio.Event | None = None

    @classmethod
    def of(cls, document: Any, **more: Any) -> Self:
        return cls(body=json.dumps(document).encode(), **more)


Script = list[Reply] | Callable[[Request], Reply]


class ScriptedServer:
    """Server that answers from `script`: a function of the request, or replies in turn, the last repeated."""

    def __init__(self, script: Script | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.script: Script = script or [Reply()]
        self.requests: list[Request] = []
        self.open, self.most_open, self.connections = 0, 0, 0
        self.arrived = asyncio.Condition()
        self.connected = 0  # connections that are open now, with and without a request
        self._listening = listening(self._accept, tls=tls)
        self._scheme = "https" if tls else "http"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self.port = await self._listening.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.__aexit__(None, None, None)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            self.connected -= 1
            writer.transport.abort()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body)
        self.requests.append(request)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        async with self.arrived:
            self.arrived.notify_all()
        try:
            return await self._send(self._next(request), writer)
        finally:
            self.open -= 1

    def _next(self, request: Request) -> Reply:
        if callable(self.script):
            return self.script(request)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        if reply.gate is not None:
            await reply.gate.wait()
        if reply.manner == "hang":
            await asyncio.Event().wait()
        if reply.manner == "silent":
            return False
        if reply.manner == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        headers = {"Content-Type": "application/json", "Content-Length": str(len(reply.body)), **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        writer.write(f"HTTP/1.1 {reply.status} Reason\r\n{lines}\r\n".encode())
        while reply.manner == "trickle":
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.write(reply.body[: len(reply.body) // 2] if reply.manner == "cut" else reply.body)
        await writer.drain()
        if reply.manner == "cut":
            writer.close()
            await writer.wait_closed()
        return reply.manner == "whole"
