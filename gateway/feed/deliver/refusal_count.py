"""Count consecutive refusals of a receiver: temporary refusals lead to probes, permanent ones pause the destination.

HL7 v2.5.1 §2.9.2.2 (AR may pass, AE does not), table 0357 (200 to 203: the kind of message is not supported); decision
D32. Consecutive refusals that mean *later* open the circuit breaker; permanent ones pause the destination.
"""

from __future__ import annotations

from typing import Final

from gateway.settings.feed import Feed
from gateway.store.feed.messages import SendResult
from gateway.store.feed.states import FOR_NOW

UNSUPPORTED: Final = "messages-not-supported"
REFUSED_IN_A_ROW: Final = "refused-in-a-row"


class _Tally:
    """Number of consecutive refusals, and the lanes that they concern."""

    def __init__(self) -> None:
        self._count = 0
        self._lanes: set[str] = set()

    def add(self, lane: str) -> None:
        self._count += 1
        self._lanes.add(lane)

    def reaches(self, count: int, lanes: int) -> bool:
        return self._count >= count and len(self._lanes) >= lanes


class RefusalCount:
    """Counter of consecutive refusals: of all, and of the permanent ones among them."""

    def __init__(self, settings: Feed) -> None:
        self._limits = settings.breaker_refusals, settings.breaker_lanes
        self._all, self._for_good, self._is_for_now = _Tally(), _Tally(), False

    def after(self, result: SendResult) -> str:
        """Return the reason to pause the destination after a result, `FOR_NOW` to probe it, or empty to do neither."""
        if result.state == "delivered":
            self._all, self._for_good, self._is_for_now = _Tally(), _Tally(), False
        if not result.is_refused:
            return ""
        self._all.add(result.head.study_id)
        if result.is_for_now:
            self._is_for_now = True
        else:
            self._for_good.add(result.head.study_id)
        if result.pauses:
            return UNSUPPORTED
        if self._for_good.reaches(*self._limits):
            return REFUSED_IN_A_ROW
        return FOR_NOW if self._is_for_now and self._all.reaches(*self._limits) else ""
