"""A sandbox on a loopback port and an event loop of its own, so that blocking clients can use it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx

from gateway.runtime.serving import listening_socket
from gateway.runtime.serving import running as serving
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.upstream import SandboxOptions, open_sandbox


@dataclass
class Running:
    """A sandbox that answers at `url`."""

    url: str
    state: SandboxAccount
    options: SandboxOptions

    def http(self, **more) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.options.api_key}"}
        return httpx.Client(base_url=f"{self.url}/v1/autoScribe", headers=headers, timeout=5, **more)

    def control(self, method: str, path: str, content: str = "") -> dict:
        with httpx.Client() as client:
            answer = client.request(method, f"{self.url}/sandbox{path}", content=content)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running(options: SandboxOptions) -> Iterator[Running]:
    """Run a sandbox on its own event loop, so that blocking clients can use it."""
    with listening_socket("127.0.0.1", 0) as listener:
        options = replace(options, port=listener.getsockname()[1])
        app, state = open_sandbox(options)
        started, stop = threading.Event(), threading.Event()

        async def serve() -> None:
            async with serving(app, listener):
                started.set()
                await asyncio.to_thread(stop.wait)

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        try:
            assert started.wait(10)
            yield Running(options.base_url, state, options)
        finally:
            stop.set()
            thread.join()
