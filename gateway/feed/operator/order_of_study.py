"""Say in an operator's words how a study was matched with orders: verdict, reason, and the reason's sentence.

Carries out no clause of a standard; decision D48. There are ids, codes and instants alone, and nothing of a patient.
Proved by tests/gateway/cli/test_orders.py.
"""

from __future__ import annotations

from typing import Any

from gateway.store.database.engine import instant_text
from gateway.store.orders.matches import StoredMatch
from mappings.hospital.reasons import REASONS


def match_said(match: StoredMatch) -> dict[str, Any]:
    """Return the match of a study as JSON."""
    return {
        "verdict": match.verdict,
        "reason": match.reason or None,
        "sentence": sentence_of(match) or None,
        "orders": list(match.orders),
        "since": instant_text(match.since),
    }


def match_line(match: StoredMatch) -> str:
    """Return the match of a study as a line."""
    if match.reason:
        return f"{match.verdict} ({match.reason}): {sentence_of(match)}".removesuffix(": ")
    return f"{match.verdict}: {', '.join(f'order {number}' for number in match.orders)}"


def sentence_of(match: StoredMatch) -> str:
    """Return the sentence of a match's reason; empty if it has none."""
    return REASONS[match.reason].sentence if match.reason in REASONS else ""
