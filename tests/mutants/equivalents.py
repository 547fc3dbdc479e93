"""Mutants that no test can kill, since they do the same: the file, the line with its change, and the reason."""

from __future__ import annotations

EQUIVALENTS: dict[tuple[str, str], str] = {}
