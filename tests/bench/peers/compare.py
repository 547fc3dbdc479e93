"""Compare the CPU that a request costs here and in HAPI FHIR JPA: `make bench-peers`.

Both have the same resources, the gateway on SQLite and on PostgreSQL, HAPI on the same PostgreSQL server (fsync on,
vacuumed). What counts is the CPU of a server and of all processes of PostgreSQL. The contenders take turns, with a
route that answers constant bytes among them; medians of the rounds and their spread. Before, each contender is asked
25 rounds, and then until two in a row agree within 5 %: Java compiles what it runs often. The gateway has login and
audit on, HAPI has neither. HAPI reuses what a search found for a minute, as shipped, so each round asks for something
else; a row of its own asks the same again. HAPI's timed jobs are off.
BENCH_PEER_STUDIES sets the number of studies, of eleven resources each, BENCH_PEER_REQUESTS that of requests a round.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import asyncpg
from bench import stores
from bench.machine import described
from bench.peers import hapi
from bench.peers.asking import ask
from bench.processor_time import family, spent
from bench.serving import constant_route, gateway
from fakes.cluster import binaries, cluster
from fakes.server_processes import processes

from gateway.index.keys import SEPARATOR, key
from gateway.store.clients import RegisteredClient, StoredClients, StoredTokens, TokenRecord, digest_of
from gateway.store.database.engine import Statement
from gateway.store.database.migrate import migrate
from gateway.store.studies.search import version_of

STUDIES = int(os.environ.get("BENCH_PEER_STUDIES", "4000"))
ROUNDS, TARGETS = 7, int(os.environ.get("BENCH_PEER_REQUESTS", "400"))
AGREED = 0.05  # two rounds of a warm server differ by no more
LEAST_WARM, MOST_WARM = 25, 60  # rounds: Java compiles some of what it runs only after 10,000 times
MORE = 4  # times as many requests of what costs little: CPU is counted in hundredths of a second
TOKEN = "a-token-of-the-benchmark-" + "x" * 24
CATEGORY = "category=http%3A%2F%2Floinc.org%7CLP29684-5"
PAGE = "DiagnosticReport?date=ge{}&_include=DiagnosticReport:subject&_count=50"
EARLY = date(1998, 1, 1)  # before any study
_DAY = 86_400_000_000
_BODIES = Statement(
    "SELECT r.address, r.version, r.updated, v.body FROM resource r JOIN version v ON v.resource = r.number"
    " AND v.version = r.version WHERE r.type = :type AND r.is_suppressed = 0 ORDER BY r.number"
)
_NUMBERS = Statement("SELECT value FROM term WHERE key = :key ORDER BY resource LIMIT :most")


class Row(NamedTuple):
    """Requests for all rounds, how many a round asks, and the goal: HAPI's CPU by ours, on SQLite and PostgreSQL."""

    name: str
    targets: Sequence[str]
    to_reach: tuple[int, int] | None
    many: int = TARGETS

    def of_round(self, number: int) -> list[str]:
        """Return the requests of a round: other ones than those of the rounds before, as long as there are others."""
        first = number * self.many % len(self.targets)
        return [*self.targets, *self.targets][first : first + self.many]


class Contender(NamedTuple):
    """A server: its base, the processes whose CPU counts, the headers of a request, and how often each is sent."""

    name: str
    base: str
    processes: Callable[[], list[int]]
    headers: dict[str, str]
    times: int = 1


async def filled(url: str) -> None:
    """Fill a new database with the studies, and register a client with a token."""
    engine = stores.engine_of(url)
    async with engine.opened():
        await migrate(engine)
        await stores.taken_in(engine, stores.studies(STUDIES), 8)
        await stores.swept(engine, STUDIES)
        now, scopes = time.time_ns() // 1_000, "system/*.rs"
        await StoredClients(engine).add(RegisteredClient("bench", "bench", scopes, None, now), "")
        token = TokenRecord(digest_of(TOKEN), "bench", scopes, now, now + _DAY)
        await StoredTokens(engine).issue(token, "assertion", now + _DAY)


async def rows(url: str) -> list[Row]:
    """Return the rows of the table, with requests for reports that the store has."""
    engine = stores.engine_of(url)
    async with engine.opened():
        reports = await stores.reports(engine, 100 * TARGETS)
        numbers = await engine.fetch(_NUMBERS, key=key("DiagnosticReport", "identifier"), most=100 * TARGETS)
    random.Random(1).shuffle(reports)
    random.Random(2).shuffle(numbers)
    values = [quote(str(one).split(SEPARATOR)[0]) for (one,) in numbers]
    searches = [f"DiagnosticReport?patient={patient}&{CATEGORY}&date=ge2000-01-01" for _, patient in reports]
    pages = [PAGE.format(EARLY + timedelta(days=day)) for day in range(730)]
    again = [f"DiagnosticReport?identifier={one}" for one in values]
    return [
        Row("read", [address for address, _ in reports], (8, 5)),
        Row("vread", [f"{address}/_history/1" for address, _ in reports], (8, 5)),
        Row("search patient+category+date", searches, (12, 8)),
        Row("search identifier", again, (12, 8)),
        Row("page of 50 with _include", pages, (20, 12), TARGETS // 10),
        Row("search identifier, the same in each round", again[:TARGETS], None),
    ]


async def bodies(url: str) -> list[bytes]:
    """Return every current resource, in an order in which HAPI can take them."""
    engine = stores.engine_of(url)
    async with engine.opened():
        found = [row for kind in hapi.ORDER for row in await engine.fetch(_BODIES, type=kind)]
    return [version_of(*row).body for row in found]


@contextmanager
def ours(kind: str, url: str, folder: Path, also: list[int]) -> Iterator[Contender]:
    """Run a gateway with login and audit on this database; the processes `also` work for it."""
    folder.mkdir()
    more = {"GATEWAY_AUDIT__DIR": str(folder / "audit"), "GATEWAY_AUDIT__SEAL_KEY": str(folder / "seal.pem")}
    headers = {"Accept": "application/fhir+json", "Authorization": f"Bearer {TOKEN}"}
    with started(gateway(url, folder, GATEWAY_AUTH__MODE="builtin", is_pinned=False, **more)) as (base, first):
        yield Contender(kind, base, lambda: [one for each in (*first, *also) for one in family(each)], headers, MORE)


@contextmanager
def started(server: AbstractContextManager[str]) -> Iterator[tuple[str, list[int]]]:
    """Run a server; yield its address and the processes that this one started for it."""
    before = set(family(os.getpid()))
    with server as address:
        yield address, [one for one in family(os.getpid()) if one not in before]


def cost(one: Contender, targets: Sequence[str]) -> float:
    """Return the CPU milliseconds that a request costs."""
    counted = one.processes()
    before = spent(counted)
    asked = [*targets] * one.times
    ask(one.base, asked, one.headers)
    return (spent(counted) - before) / len(asked) * 1_000


def warmed(
    contenders: Mapping[str, Callable[[int], float]], least: int = LEAST_WARM, most: int = MOST_WARM
) -> dict[str, int | None]:
    """Ask each contender `least` rounds, then until the costs of two in a row agree; return its rounds, None if never.

    They take turns. Each function asks the round with that number, and returns the CPU of a request.
    """
    last: dict[str, float] = {}
    rounds: dict[str, int | None] = dict.fromkeys(contenders)
    for number in range(most):
        for name in [one for one, needed in rounds.items() if needed is None]:
            now, before = contenders[name](number), last.get(name)
            if before is not None and number + 1 >= least and abs(now - before) <= AGREED * max(now, before):
                rounds[name] = number + 1
            last[name] = now
    return rounds


def compared(row: Row, contenders: Sequence[Contender], say: Callable[[str], None]) -> None:
    """Warm the contenders for a row, measure it in rounds, and print it with what is asked."""
    sizes = ask(contenders[0].base, row.of_round(0), contenders[0].headers)
    say(f"{row.name}: {row.many} requests a round, such as GET {row.targets[0]}")
    warm = warmed({one.name: lambda number, one=one: cost(one, row.of_round(number)) for one in contenders})
    for name, needed in warm.items():
        say(f"  {name:<12}{f'warm after {needed} rounds' if needed else f'not warm after {MOST_WARM} rounds'}")
    with started(constant_route(round(statistics.mean(sizes)))) as (address, first):
        every = [*contenders, Contender("constant", address.rstrip("/"), lambda: first, {}, MORE)]
        rounds, begin = [], max(needed or MOST_WARM for needed in warm.values())
        for number in range(begin, begin + ROUNDS):
            asked = {"constant": [""] * row.many}
            rounds.append([cost(one, asked.get(one.name, row.of_round(number))) for one in every])
    columns = dict(zip([one.name for one in every], zip(*rounds, strict=True), strict=True))
    say(f"  CPU a request, median (least to most of {ROUNDS} rounds)")
    for name, column in columns.items():
        say(f"  {name:<12}{statistics.median(column):7.2f} ms ({min(column):.2f} to {max(column):.2f})")
    for place, name in enumerate(("sqlite", "postgresql")):
        ratios = [theirs / max(mine, 1e-6) for theirs, mine in zip(columns["hapi"], columns[name], strict=True)]
        goal = f"; to reach: {row.to_reach[place]}" if row.to_reach else ""
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        say(f"  HAPI / ours on {name}: {statistics.median(ratios):.1f} ({spread}{goal})")


def main() -> None:
    """Measure and print the table."""
    programs = binaries()
    if programs is None:
        sys.exit("needs PostgreSQL's server programs: apt-get install -y postgresql")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then, too
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-peers-")))
        server = stack.enter_context(cluster(programs, "fsync=on", "shared_buffers=512MB"))
        asyncio.run(_execute(server, "CREATE DATABASE ours", "CREATE DATABASE hapi"))
        urls = {"sqlite": f"sqlite:///{folder / 'ours.db'}", "postgresql": f"{server}/ours"}
        for url in urls.values():
            asyncio.run(filled(url))
        every = asyncio.run(bodies(urls["sqlite"]))
        peer = stack.enter_context(hapi.hapi(f"{server}/hapi", folder))
        begun = time.monotonic()
        hapi.put(peer.base, every)
        say(f"{described()}\n{len(every)} resources; HAPI took {time.monotonic() - begun:.0f} s to load them")
        for url in (*urls.values(), f"{server}/hapi"):
            asyncio.run(stores.settled(url))
        postgres = asyncio.run(processes(f"{server}/ours"))[:1]
        contenders = [
            stack.enter_context(ours("sqlite", urls["sqlite"], folder / "on-sqlite", [])),
            stack.enter_context(ours("postgresql", urls["postgresql"], folder / "on-postgresql", postgres)),
            Contender(
                "hapi",
                peer.base,
                lambda: [one for each in (peer.process_id, *postgres) for one in family(each)],
                {"Accept": "application/fhir+json"},
            ),
        ]
        for row in asyncio.run(rows(urls["sqlite"])):
            compared(row, contenders, say)


def say(text: str) -> None:
    """Print at once, since the whole takes a while."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _execute(server: str, *statements: str) -> None:
    connection = await asyncpg.connect(f"{server}/postgres")
    for one in statements:
        await connection.execute(one)
    await connection.close()


if __name__ == "__main__":
    main()
