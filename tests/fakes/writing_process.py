"""A process that writes versions of resources into PostgreSQL, as a gateway's ingest does, beside others that do.

Run as `python -m fakes.writing_process URL NAME SECONDS SKEW`; its clock is wrong by SKEW seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from random import Random

from fakes.store import made, write

from gateway.store.database.postgres import Postgres

KINDS = ("DiagnosticReport", "Observation", "Patient", "Provenance")


async def writing(url: str, name: str, seconds: float, skew: float) -> int:
    """Write until the time is over; every fifth write is of a resource that the other process writes, too."""
    dice, number, until = Random(name), 0, time.monotonic() + seconds
    engine = Postgres(url)
    async with engine.opened():
        while time.monotonic() < until:
            number += 1
            owner = "both" if number % 5 == 0 else name
            resources = [
                made(f"{dice.choice(KINDS)}/{owner}-{dice.randrange(12)}-{place}", f"{name} {number}", words="word")
                for place in range(dice.randrange(1, 6))
            ]
            await write(engine, *resources, now=int((time.time() + skew) * 1_000_000))
            if dice.random() < 0.1:
                await asyncio.sleep(dice.random() * 0.05)
    return number


if __name__ == "__main__":
    given_url, given_name, given_seconds, given_skew = sys.argv[1:]
    sys.stdout.write(str(asyncio.run(writing(given_url, given_name, float(given_seconds), float(given_skew)))))
