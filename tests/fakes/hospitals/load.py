"""Load of hospitals over a week: reports signed in each hour, and a seeded sequence of signatures.

The hours of a hospital's day are made up: a rise from 7 to 11, a lower afternoon, and a quiet night and weekend.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

HOUR = 3600.0
WEEK_HOURS = 7 * 24
PEAK = 2.7  # the busiest hour of the week, by the mean of all hours
_HOURS_A_YEAR = 8760
_DAY = (2, 2, 2, 2, 2, 3, 5, 8, 11, 12, 12, 11, 10, 10, 9, 9, 8, 7, 6, 5, 4, 4, 3, 3)
_DAYS = (1.1, 1.05, 1.0, 1.0, 1.0, 0.45, 0.4)  # Monday to Sunday


def _curve() -> list[float]:
    """Factor of each hour of the week: the mean is 1, the highest `PEAK`."""
    shape = [of_day * of_hour for of_day in _DAYS for of_hour in _DAY]
    mean = sum(shape) / len(shape)
    spread = (PEAK - 1) / (max(shape) / mean - 1)
    return [1 + spread * (one / mean - 1) for one in shape]


CURVE = _curve()


def shares(hospitals: int) -> list[float]:
    """Share of each hospital in all reports: the largest has about five times as many as the smallest."""
    weights = [1 + 4 * (number / max(1, hospitals - 1)) ** 2 for number in range(hospitals)]
    return [one / sum(weights) for one in weights]


def signatures(dice: Random, reports_a_year: float, begins: float, ends: float) -> Iterator[float]:
    """Yield the seconds of the week at which reports are signed: a Poisson process whose rate follows the curve."""
    most = max(CURVE) * reports_a_year / _HOURS_A_YEAR / HOUR
    at = begins
    while (at := at + dice.expovariate(most)) < ends:
        if dice.random() < CURVE[int(at / HOUR) % WEEK_HOURS] / max(CURVE):
            yield at
