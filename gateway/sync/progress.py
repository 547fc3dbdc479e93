"""Shows how far a sweep is: a bar on a terminal, a line now and then anywhere else.

Carries out no clause of a standard. How many studies there are AutoScribe does not say: the last sweep tells.
"""

from __future__ import annotations

from typing import Final, TextIO

from gateway import clock
from gateway.sync.sweep_record import SweepRecord

_WIDTH: Final = 20
_LINE_EVERY: Final = 10.0  # seconds


class ProgressBar:
    """Call it with the record after each page, and `end` it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._is_terminal = stream, stream.isatty()
        self._begun = self._shown = clock.monotonic()
        self._first: int | None = None
        self._length = 0

    def __call__(self, record: SweepRecord) -> None:
        """Show where the sweep is."""
        now = clock.monotonic()
        if self._first is None:
            self._first = record.studies_seen
        seconds = now - self._begun
        rate = max(0, record.studies_seen - self._first) / seconds if seconds else 0
        text = f"sweep {_bar(record.percent)}{record.studies_seen:,} studies, {rate:.0f}/s"
        if self._is_terminal:
            self._stream.write("\r" + text.ljust(self._length))
            self._stream.flush()
            self._length = len(text)
        elif now - self._shown >= _LINE_EVERY:
            self._stream.write(text + "\n")
            self._shown = now

    def end(self) -> None:
        """Leave the bar as it stands and go to the next line."""
        if self._length:
            self._stream.write("\n")
            self._length = 0


def _bar(percent: int | None) -> str:
    if percent is None:
        return ""
    done = _WIDTH * percent // 100
    return f"[{'#' * done}{'.' * (_WIDTH - done)}] about {percent} %, "
