"""Cancel the work for a client that has disconnected.

https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event. What is fetched from AutoScribe meanwhile
goes on, since it is stored for everybody. A request that changes something is never cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.fhir_api.served import OPERATIONS

PATIENCE: Final = 0.05  # seconds: most requests end before, and need no watch
CLIENT_GONE: Final = 499  # counted in the metrics; nobody is there to read it
_CHANGING: Final = tuple(f"/${one.name}" for one in OPERATIONS if one.affects_state)
_NO_BODY: Final = frozenset({"GET", "HEAD"})


class Attended:
    """ASGI middleware: cancels the request when its client disconnects, and answers 499, for the metrics."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and watch for a disconnect once the request takes some time."""
        loop, task = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())
        client = _Client(receive, send, task.cancel, is_whole=scope["method"] in _NO_BODY)
        may_end = not scope["path"].endswith(_CHANGING)
        timer = loop.call_later(PATIENCE, client.watch) if may_end else None
        try:
            await self.app(scope, client.receive, client.send)
        except asyncio.CancelledError:
            if not client.is_gone or task.uncancel():
                raise  # the service ends
            if not client.is_begun:
                await send({"type": "http.response.start", "status": CLIENT_GONE, "headers": []})
                await send({"type": "http.response.body"})
        finally:
            if timer is not None:
                timer.cancel()
            client.unwatch()


class _Client:
    """Client of one request, watched through ASGI's `receive`; calls `leave` when the client disconnects.

    Its watch begins behind the body (`is_whole`), since before that the application itself hears the client. It ends
    with the answer, since ASGI then shows a disconnect, whatever the client does. `is_begun`: the answer has begun.
    """

    __slots__ = (
        "_is_answered",
        "_is_due",
        "_is_whole",
        "_leave",
        "_receive",
        "_send",
        "_watching",
        "is_begun",
        "is_gone",
    )

    def __init__(self, receive: Receive, send: Send, leave: Callable[[], object], *, is_whole: bool) -> None:
        self._receive, self._send, self._leave, self._is_whole = receive, send, leave, is_whole
        self.is_gone = self.is_begun = self._is_answered = self._is_due = False
        self._watching: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        """Receive a message for the application."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._is_answered:
            self._end()
            await asyncio.Event().wait()  # until cancelled: the application need not know why
        if not message.get("more_body", False):
            self._is_whole = True
            if self._is_due:
                self.watch()
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        self.is_begun = True
        self._is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    def watch(self) -> None:
        """Watch for a disconnect from now on, or from the end of the request body."""
        self._is_due = True
        if self._is_whole and self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    def unwatch(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # the empty body of a GET
        if not self._is_answered:
            self._end()

    def _end(self) -> None:
        self.is_gone = True
        self._leave()
