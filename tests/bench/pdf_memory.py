"""Memory cost of a large PDF: a separate process stores and serves one, and measures itself.

`python pdf_memory.py <database> <AutoScribe URL> <size>…` prints as JSON by how many bytes it grew at the last size.
https://man7.org/linux/man-pages/man5/proc_pid_status.5.html: RssAnon is what only this process has in memory.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fakes.pdfs import Library
from starlette.requests import Request

from gateway.fhir_api.binary import binary
from gateway.ingest.pdf_queue import PdfQueue
from gateway.runtime.metrics import Metrics
from gateway.settings import Pdf, Upstream
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.upstream.client import UpstreamClient
from mappings.patient.identifiers import fhir_id

ANONYMOUS = re.compile(r"RssAnon:\s+(\d+) kB")


def used() -> int:
    return int(ANONYMOUS.search(Path("/proc/self/status").read_text())[1]) * 1024


@contextmanager
def watched(growth: dict[str, int], name: str) -> Iterator[None]:
    """Record the largest growth of memory while the block runs."""
    begin, over = used(), threading.Event()
    growth[name] = 0

    def watch() -> None:
        while not over.wait(0.002):
            growth[name] = max(growth[name], used() - begin)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def get(app: Any, report_id: str, accept: str) -> int:
    """Return the number of bytes that Binary serves."""
    count = 0

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        nonlocal count
        count += len(message.get("body", b""))
        await asyncio.sleep(0)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "app": app}
    scope |= {"headers": [(b"accept", accept.encode())], "path_params": {"id": f"{fhir_id(report_id)}-pdf"}}
    response = await binary(Request(scope, receive, send))
    await response(scope, receive, send)
    return count


async def play(library: Library, upstream: UpstreamClient, digit: str, size: int, growth: dict[str, int]) -> None:
    """Store a PDF of this size, and serve it in every form."""
    await library.report(digit)
    queue = PdfQueue(library.pdfs, upstream.stream_pdf, library.pipeline.refresh, Metrics())
    serving = SimpleNamespace(engine=library.engine, upstream=upstream, keeps_pdfs=True)
    app = SimpleNamespace(state=SimpleNamespace(facade=serving))
    with watched(growth, "taken in"):
        assert await queue.once() == 1
    report_id = library.report_id(digit)
    assert (await library.row(digit))["size"] == size
    for name, accept in (("given out", "application/pdf"), ("as a resource", "application/fhir+json")):
        with watched(growth, name):
            assert await get(app, report_id, accept) >= size
    serving.keeps_pdfs = False
    with watched(growth, "passed on"):
        assert await get(app, report_id, "application/pdf") == size


async def main(database: str, autoscribe: str, *sizes: int) -> None:
    engine = Postgres(database) if database.startswith("postgresql:") else Sqlite(Path(database))
    settings = Upstream.model_validate({"api_key": "key", "base_url": autoscribe})
    growth: dict[str, int] = {}
    async with engine.opened(), UpstreamClient(settings, Pdf(allowed_hosts=())) as upstream:
        library = Library(engine)
        for digit, size in enumerate(sizes, 1):
            await play(library, upstream, str(digit), size, growth)
    sys.stdout.write(json.dumps(growth))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
