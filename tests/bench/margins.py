"""Bounds of the benchmarks, with the margin of what was measured: positive if the bound is held."""

from __future__ import annotations


def at_least(value: float, wanted: float, form: str = ".0%", unit: str = "") -> str:
    """Say how far a value is above the least that is wanted, in percent of it."""
    return f"(to reach: >= {wanted:{form}}{unit}, margin {value / wanted - 1:+.0%})"


def at_most(value: float, wanted: float, form: str = "g", unit: str = "") -> str:
    """Say how far a value is below the most that is wanted, in percent of it."""
    return f"(to reach: <= {wanted:{form}}{unit}, margin {1 - value / wanted:+.0%})"
