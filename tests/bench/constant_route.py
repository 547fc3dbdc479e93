"""Baseline for a warm read: a bare FastAPI application that always answers the same bytes.

`python constant_route.py <bytes>` serves them as the gateway serves, on a free port that it prints.
"""

from __future__ import annotations

import asyncio
import sys

from fastapi import FastAPI, Response

from gateway.runtime.serving import listening_socket, running
from gateway.runtime.signals import stop_signal


def application(size: int) -> FastAPI:
    app, body = FastAPI(), b"x" * size

    @app.get("/")
    async def constant() -> Response:
        return Response(body, media_type="application/fhir+json")

    return app


async def main(size: int) -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        async with stop_signal() as stop, running(application(size), listener):
            sys.stdout.write(f"{listener.getsockname()[1]}\n")
            sys.stdout.flush()
            await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
