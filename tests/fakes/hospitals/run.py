"""Command of `make simulate`: run a week of hospitals, write its plots and figures to docs/, or name the broken law.

The hospitals are divided among gateways, each with an account and a database of its own, which run in parallel.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from fakes.databases import migrated_file
from fakes.hospitals.gateway import CRITICAL_MINUTES, ESCALATION_MINUTES, SWEEP
from fakes.hospitals.load import HOUR, PEAK
from fakes.hospitals.plots import Line, Plot
from fakes.hospitals.week import POLL, LawBroken, Sample, Troubles, Week

DOCS = Path(__file__).parents[3] / "docs" / "simulation"
FIGURES = "figures.json"
TOGETHER = 10  # hospitals of one gateway
_ALL = 50
_REPORTS_A_YEAR = 5_000_000


@dataclass(frozen=True)
class Outcome:
    """Measurements of one gateway's week: samples, and for each report (signed, acknowledged, is critical)."""

    samples: list[Sample]
    reports: list[tuple[float, float, bool]]
    counts: Counter[str]
    cpu: float


def week(number: int, seed: int, share: float) -> Outcome:
    """Simulate the week of one gateway and its hospitals, with that share of their reports.

    Raises:
        LawBroken: a law did not hold.
    """
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "gateway").mkdir()
        reports = share * _REPORTS_A_YEAR * TOGETHER / _ALL
        show = partial(_show, number)
        ran = Week(seed + number, migrated_file(here), here / "gateway", TOGETHER, reports, show=show).run()
    return outcome_of(ran, time.process_time() - begun)


def _show(number: int, text: str) -> None:
    print(f"gateway {number + 1}: {text}", flush=True)


def outcome_of(ran: Week, cpu: float) -> Outcome:
    """Return what a week measured; `cpu` is its processor time in seconds."""
    told = [data for _, _, data in ran.alerts]
    counts = Counter(
        {
            "reports": len(ran.account.signed),
            "critical": sum(one.is_critical for one in ran.account.signed.values()),
            "messages": ran.receivers.messages,
            "repeated": ran.receivers.repeated,
            "requests": ran.account.requests,
            "told": len(_critical(told, {"begins", "grows"})),
            "escalated": len(_critical(told, {"escalates"})),
        }
    )
    reports = [(one.at, one.acknowledged or 0.0, one.is_critical) for one in ran.account.signed.values()]
    return Outcome(ran.samples, reports, counts, cpu)


def _critical(told: Sequence[dict[str, Any]], changes: set[str]) -> set[str]:
    """Return the studies that alerts about critical results named."""
    named = [one["studies"] for one in told if one["alert"].startswith("critical") and one["change"] in changes]
    return {study_id for studies in named for study_id in studies}


@dataclass(frozen=True)
class Size:
    """Size of the simulation: `share` is the part of the hospitals' reports that is simulated."""

    seed: int
    gateways: int
    share: float
    processes: int

    @classmethod
    def wanted(cls) -> Size:
        """Read the size from the environment."""
        read = os.environ.get
        processes = int(read("SIMULATION_PROCESSES", str(os.cpu_count() or 1)))
        gateways, share = int(read("SIMULATION_GATEWAYS", "5")), float(read("SIMULATION_SHARE", "0.05"))
        return cls(int(read("SIMULATION_SEED", "1")), gateways, share, processes)


def main(size: Size, folder: Path) -> int:
    """Run the weeks, print what they measured, and write it to a folder."""
    print(f"seed {size.seed}: a week of {size.gateways * TOGETHER} hospitals and {size.gateways} gateways", flush=True)
    try:
        with ProcessPoolExecutor(size.processes) as pool:
            outcomes = list(pool.map(partial(week, seed=size.seed, share=size.share), range(size.gateways)))
    except LawBroken as error:
        print(f"a law is broken: {error}")
        return 1
    figures = {"share": size.share, **measured(size.seed, outcomes)}
    folder.mkdir(exist_ok=True)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n")
    for name, plot in plots(outcomes).items():
        (folder / name).write_text(plot.svg())
    print(json.dumps(figures, indent=1))
    return 0


def measured(seed: int, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of all gateways together."""
    counts: Counter[str] = sum((one.counts for one in outcomes), Counter())
    troubles = Troubles.of_the_week()
    windows = (troubles.receiver, *troubles.unread)
    lags = [(signed, acknowledged - signed) for one in outcomes for signed, acknowledged, _ in one.reports]
    usual = [lag for signed, lag in lags if not any(since - HOUR <= signed < until + HOUR for since, until in windows)]
    critical = [
        acknowledged - signed for one in outcomes for signed, acknowledged, is_critical in one.reports if is_critical
    ]
    return {
        "seed": seed,
        "gateways": len(outcomes),
        "hospitals": len(outcomes) * TOGETHER,
        "peak": PEAK,
        "poll_seconds": POLL,
        "sweep_seconds": SWEEP,
        "critical_minutes": CRITICAL_MINUTES,
        "escalation_minutes": ESCALATION_MINUTES,
        **dict(sorted(counts.items())),
        "usual_lag_p50": round(median(usual), 2),
        "usual_lag_p99": round(quantiles(usual, n=100)[98], 1),
        "critical_lag_p50": round(median(critical), 2),
        "longest_lag": round(max(lag for _, lag in lags), 1),
        "most_owed": max(
            sum(one) for one in zip(*([sample.owed for sample in one.samples] for one in outcomes), strict=True)
        ),
        "cpu_seconds": round(sum(one.cpu for one in outcomes)),
    }


def plots(outcomes: Sequence[Outcome]) -> dict[str, Plot]:
    """Return the plots by file name: reports an hour, what waits, and how long a report takes."""
    troubles = Troubles.of_the_week()
    bands = [
        ("receiver off", *_hours(troubles.receiver)),
        ("AutoScribe away", *_hours(troubles.upstream)),
        ("database away", *_hours(troubles.database)),
        ("restore", *_hours(troubles.restored)),
    ]
    signed = Counter(int(at / HOUR) for one in outcomes for at, _, _ in one.reports)
    return {
        "load.svg": Plot(
            "Reports signed in an hour",
            [Line("all hospitals", sorted((hour + 0.5, n) for hour, n in signed.items()))],
            bands,
        ),
        "queues.svg": Plot(
            "Reports and messages that wait, every five minutes",
            [
                Line("signed, not acknowledged", _waiting(outcomes, lambda one: one.owed)),
                Line("messages to send", _waiting(outcomes, lambda one: one.outbox + one.messages)),
                Line("webhooks to work on", _waiting(outcomes, lambda one: one.webhooks)),
            ],
            bands,
        ),
        "lags.svg": Plot(
            "Seconds from signature to acknowledgement, by hour of signature",
            [
                Line(name, _lags(outcomes, take))
                for name, take in (("median", median), ("99th percentile", _p99), ("longest", max))
            ],
            bands,
            is_log=True,
        ),
    }


def _hours(window: tuple[float, float]) -> tuple[float, float]:
    return window[0] / HOUR, window[1] / HOUR


def _waiting(outcomes: Sequence[Outcome], of: Callable[[Sample], int]) -> list[tuple[float, float]]:
    samples = zip(*(one.samples for one in outcomes), strict=True)
    return [(one[0].at / HOUR, sum(map(of, one))) for one in samples if one[0].at < 7 * 24 * HOUR]


def _lags(outcomes: Sequence[Outcome], take: Callable[[Iterable[float]], float]) -> list[tuple[float, float]]:
    by_hour: dict[int, list[float]] = defaultdict(list)
    for one in outcomes:
        for signed, acknowledged, _ in one.reports:
            by_hour[int(signed / HOUR)].append(acknowledged - signed)
    return [(hour + 0.5, take(lags)) for hour, lags in sorted(by_hour.items())]


def _p99(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[int(0.99 * (len(ordered) - 1))]


if __name__ == "__main__":
    sys.exit(main(Size.wanted(), DOCS))
