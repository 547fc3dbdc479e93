"""Whether a receiver refuses whatever it is sent: then it is sent nothing more, for an operator to look at.

HL7 v2.5.1 table 0357 (200 to 203: what kind of message it is, is not supported); decision D32.
"""

from __future__ import annotations

from typing import Final

from gateway.settings.feed import Feed
from gateway.store.messages import Result

UNSUPPORTED: Final = "messages-not-supported"
STORM: Final = "refused-in-a-row"


class Storm:
    """Counts refusals in a row, and of how many lanes they are."""

    def __init__(self, settings: Feed) -> None:
        self._naks, self._lanes = settings.storm_naks, settings.storm_lanes
        self._count = 0
        self._of: set[str] = set()

    def after(self, result: Result) -> str:
        """The reason to pause the destination after what came of a message; empty: none."""
        if result.state == "delivered":
            self._count, self._of = 0, set()
        if not result.is_refused:
            return ""
        self._count += 1
        self._of.add(result.head.study_id)
        if result.pauses:
            return UNSUPPORTED
        return STORM if self._count >= self._naks and len(self._of) >= self._lanes else ""
