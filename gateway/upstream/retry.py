"""Decide whether and when a request to AutoScribe is sent again.

RFC 9110 §9.2.2 (what may be repeated) and §10.2.3 (Retry-After). The rest follows the vendor's SDKs: half a second,
doubled for each further try, less a jitter. Unlike them, the gateway repeats no POST that may have arrived, and no 409.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from secrets import SystemRandom
from typing import Final

_FIRST_BACKOFF: Final = 0.5
_JITTER: Final = 0.25
_SECONDS: Final = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Policy:
    """Retry limits of a GET: `attempts`, two bounds in seconds, and `jitter`, which returns a number in [0, 1)."""

    attempts: int = 3
    retry_after_cap: float = 60.0
    max_backoff: float = 8.0
    jitter: Callable[[], float] = SystemRandom().random

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Return the seconds to wait after try `attempt` (from 1): as the server asks, up to the cap; else backoff."""
        if retry_after is not None:
            return min(retry_after, self.retry_after_cap)
        backoff: float = min(_FIRST_BACKOFF * 2 ** (attempt - 1), self.max_backoff)
        return backoff * (1 - _JITTER * self.jitter())


USUAL: Final = Policy()


def may_repeat(method: str, status: int, should_retry: str | None) -> bool:
    """True if a request with this error status may be sent again; `should_retry` is the x-should-retry header."""
    if method != "GET" or status == 409:
        return False
    if should_retry in {"true", "false"}:
        return should_retry == "true"
    return status in {408, 429} or status >= 500


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds the server asks to wait: `retry-after-ms`, else `Retry-After` (seconds or date); else None.

    A value that is not positive or cannot be read counts as absent.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    seconds = _number(value)
    if seconds is None:
        seconds = _seconds_until(value, now)
    return seconds if seconds is not None and seconds > 0 else None


def _number(text: str | None) -> float | None:
    if text is None or not _SECONDS.fullmatch(text.strip()):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()
