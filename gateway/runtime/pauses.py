"""Shorten what an event loop waits for: other threads' turns and garbage collections; or collect rarely.

https://docs.python.org/3/library/sys.html#sys.setswitchinterval, https://docs.python.org/3/library/gc.html#gc.freeze;
decision D46.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Seconds that a thread computes while another waits for the interpreter's lock. A read waits for the lock several
# times, whenever SQLite or the network had it
_TURN: Final = 0.0005
# Objects that may be made before a collection; Python's 700 are nearly all still in use by studies under way
_MANY: Final = 10_000


@contextmanager
def short_pauses() -> Iterator[None]:
    """Make threads switch often while the block runs, and exclude all that is loaded now from garbage collection.

    A full collection stops all threads. It takes 70 ms with all that the service loads, which lasts as long as the
    process does.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    _freeze()
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely while the block runs, and exclude all that is loaded now.

    Collections take a twentieth of the time of an ingest. Rare ones last longer, so this is for a process in which no
    event loop answers requests.
    """
    before = gc.get_threshold()
    _freeze()
    gc.set_threshold(_MANY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _freeze() -> None:
    """Exclude all that is loaded now from later garbage collections."""
    gc.collect()
    gc.freeze()
