"""Progress display of long commands: percent and time left, on standard error, apart from the command's output.

Carries out no clause of a standard; decision D39. On a terminal it is one line that is renewed, elsewhere a line every
10 seconds. Shorter work shows nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Final, TextIO, TypeVar

from gateway.runtime import clock

Item = TypeVar("Item")
_RENEW: Final = 0.5  # seconds
_LINE_EVERY: Final = 10.0  # seconds
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


class Progress:
    """Progress display. Call it inside its `with` with the amount done. `work` names the work; `things` are counted."""

    def __init__(self, work: str, things: str, stream: TextIO | None = None) -> None:
        self._work, self._things, self._stream = work, things, stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._begun = self._shown = clock.monotonic()
        self._first: int | None = None
        self._length = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the line as it stands and go to the next."""
        if self._length:
            self._stream.write("\n")
            self._length = 0

    def __call__(self, done: int, total: int | None = None, *, is_guess: bool = False) -> None:
        """Show the amount done, and the total if known; `is_guess` marks the total of an earlier run."""
        now = clock.monotonic()
        if self._first is None:
            self._first = done
        if now - self._shown < (_RENEW if self._is_terminal else _LINE_EVERY):
            return
        self._shown = now
        text = self._text(done, total, is_guess, max(0, done - self._first) / (now - self._begun))
        if self._is_terminal:
            self._stream.write(f"\r{text.ljust(self._length)}")
            self._length = len(text)
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def _text(self, done: int, total: int | None, is_guess: bool, rate: float) -> str:
        speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
        if total is None or done > total:
            return f"{self._work}: {done:,} {self._things}, {speed}; total unknown"
        about, percent = "about " if is_guess else "", 100 * done // total if total else 100
        left = f", {_said((total - done) / rate)} left" if rate > 0 else ""
        return f"{self._work}: {about}{percent} %, {done:,} of {about}{total:,} {self._things}, {speed}{left}"


def through(work: str, studies: Collection[Item]) -> Iterator[Item]:
    """Yield each study, and show meanwhile how many were done."""
    with Progress(work, "studies") as progress:
        for done, study in enumerate(studies):
            progress(done, len(studies))
            yield study


def _said(seconds: float) -> str:
    """Write a time in its two largest units, rounded up, since it is an estimate."""
    whole = int(seconds) + 1
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
