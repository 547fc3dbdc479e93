"""Generate the tables of docs/scale.md: growth and cost as measured, sweeps by the code, and the simulation.

Carries out no clause of a standard: `make check` compares docs/ with these tables.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from gateway.crawl.account_pace import AccountPace
from gateway.settings import Sync
from gateway.store.studies.crawling import SMALLEST_PAGE
from generators.documents import table

# The one place of what was measured. Bytes of a study: tests/bench/test_bytes_per_study.py, as in docs/guide.md.
# Milliseconds of processor time: tests/bench/test_cost.py. Bytes of the ledger for a report: docs/feed.md
STUDY_BYTES: Final = {"SQLite": 20_000, "PostgreSQL": 27_000}
LEDGER_BYTES: Final = 1_350
INGEST_MS: Final = {"SQLite": 13.1, "PostgreSQL": 24.5}
SEND_MS: Final = {"SQLite": 3.2, "PostgreSQL": 8.1}
READINGS: Final = 4  # of a study: opened, signed, gone from the unsigned ones, and once for a silent change
MILLION: Final = 1_000_000
# Processor time of a study: tests/bench/test_two_crawlers.py, PostgreSQL's part included
CRAWL_MS: Final = 18.4
COMMIT_MS: Final = 2.9  # for which `tick` is locked: the mean of tests/bench/ticking.py on a server with fsync
CORES, BUSY = 8, 0.75
LATENCY_MS: Final = 50
CONCURRENCIES, PAGES = (Sync().concurrency, 16), (Sync().pages_per_second, 4.0)
FIGURES: Final = Path(__file__).parents[1] / "simulation" / "figures.json"
_ACCOUNTS: Final = (100_000, 1_000_000, 5_000_000, 25_000_000, 100_000_000)
_YEARLY: Final = ((100_000, "one hospital"), (5_000_000, "50 hospitals"), (100_000_000, "a national network"))


def growth_table() -> str:
    """Table of what the database grows by in a year, by reports a year."""
    return table(
        ("reports a year", "such as", "a second in the mean", "SQLite, GB a year", "PostgreSQL, GB a year"),
        (
            (
                f"{count:,}",
                name,
                f"{count / timedelta(days=365).total_seconds():.3g}",
                *(_grown(count, kind) for kind in STUDY_BYTES),
            )
            for count, name in _YEARLY
        ),
    )


def _grown(count: int, kind: str) -> str:
    return f"{count * (STUDY_BYTES[kind] + LEDGER_BYTES) / 1e9:,.0f}"


def cost_table() -> str:
    """Table of the cost of a million reports: processor hours and storage."""
    return table(
        ("a million reports", *STUDY_BYTES),
        (
            (f"{READINGS} readings of each study, CPU hours", *(_hours(READINGS * one) for one in INGEST_MS.values())),
            ("one message of each report, CPU hours", *(_hours(one) for one in SEND_MS.values())),
            ("storage, GB", *(_grown(MILLION, kind) for kind in STUDY_BYTES)),
        ),
    )


def _hours(milliseconds: float) -> str:
    return f"{milliseconds / 1e3 * MILLION / 3600:.1f}"


def first_load_table() -> str:
    """Table of what limits the first reading of ten million studies of one report, and how long each limit makes it."""
    requests = 1 + 1 / SMALLEST_PAGE  # for a study: its reports, and its part of a page
    limits = {
        f"{CORES} cores, {BUSY:.0%} busy: {CRAWL_MS:g} ms of processor time a study": CORES * BUSY / CRAWL_MS * 1e3,
        f"the row `tick`: {COMMIT_MS:g} ms a commit of one study, with the disk": 1e3 / COMMIT_MS,
        **{
            f"`sync.concurrency = {most}`, answers after {LATENCY_MS} ms": most / LATENCY_MS * 1e3 / requests
            for most in CONCURRENCIES
        },
        **{f"`sync.pages_per_second = {pages:g}`": pages * SMALLEST_PAGE for pages in PAGES},
    }
    return table(
        ("limit", "most studies a second", "10 million, hours"),
        ((limit, f"{rate:,.0f}", f"{10 * MILLION / rate / 3600:.1f}") for limit, rate in limits.items()),
    )


def sweep_table() -> str:
    """Table of the crawl's own times by the number of studies in the account, under the default settings."""
    rows = []
    for count in _ACCOUNTS:
        pace = AccountPace(count, Sync())
        tiers = (pace.refetched_within(timedelta(days=days)).days for days in (0, 100, 1000))
        each = ", ".join(f"{one}" for one in tiers)
        rows.append((f"{count:,}", _time(pace.sweep_seconds), _time(pace.max_index_age), each))
    return table(
        ("studies", "a sweep", "`incomplete` after", "reports fetched again every … days: new, older, old"), rows
    )


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def simulation_table() -> str:
    """Table of the figures of the last simulation in docs/."""
    found: dict[str, Any] = json.loads(FIGURES.read_text("utf-8"))
    return table(
        ("figure", "value"),
        (
            ("seed", f"{found['seed']}"),
            (
                "hospitals, and gateways with an account and a database each",
                f"{found['hospitals']}, {found['gateways']}",
            ),
            ("share of the reports of such hospitals that is simulated", f"{found['share']:g}"),
            ("reports signed, of them critical", f"{found['reports']:,}, {found['critical']:,}"),
            (
                "messages that came, of them again because no answer had come",
                f"{found['messages']:,}, {found['repeated']:,}",
            ),
            ("requests to AutoScribe", f"{found['requests']:,}"),
            (
                "lag outside of the troubles: median, 99th percentile",
                f"{found['usual_lag_p50']:g} s, {found['usual_lag_p99']:g} s",
            ),
            ("longest lag, in the troubles", f"{found['longest_lag'] / 60:.0f} minutes"),
            ("most reports that waited at one time", f"{found['most_owed']:,}"),
            ("critical results told as overdue, and of them escalated", f"{found['told']}, {found['escalated']}"),
            ("reports lost, doubled, reordered, or under a wrong patient", "0"),
        ),
    )
