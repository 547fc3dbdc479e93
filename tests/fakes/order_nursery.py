"""Process that starts order loops again and again, so that a test can kill each: `python -m fakes.order_nursery`.

A line on stdin starts one, in a fork that shares nothing but the code; its process id is printed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway.ingest.assembly import opened_store
from gateway.ingest.orders.loops import OrderLoops
from gateway.runtime import log
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration, load


async def listen(configuration: Configuration) -> None:
    async with opened_store(configuration, serves=True) as engine:
        await asyncio.gather(*OrderLoops(configuration, engine, Metrics()).loops())


def main() -> None:
    configuration = load(Path(sys.argv[1]))
    log.configure()
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(listen(configuration))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
