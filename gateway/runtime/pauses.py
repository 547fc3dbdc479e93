"""Keep short what an event loop waits for: turns of other threads, garbage collections, and processes that crawl.

https://docs.python.org/3/library/sys.html#sys.setswitchinterval, https://docs.python.org/3/library/gc.html#gc.freeze,
https://man7.org/linux/man-pages/man2/nice.2.html; decision D46.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Seconds that a thread computes while another waits for the interpreter's lock. A read waits for the lock several
# times, whenever SQLite or the network had it
_TURN: Final = 0.0005
CRAWLING: Final = 5  # niceness: on a busy processor, about a third of the time of a process that answers


@contextmanager
def short_pauses() -> Iterator[None]:
    """Have threads take short turns, and no collection look at what is loaded by now, while the block runs.

    A full collection stops all threads. It takes 70 ms with all that the service loads, which lasts as long as it does.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def give_way() -> None:
    """Have this process, and those that it starts from now on, give way to processes that answer clients."""
    os.nice(CRAWLING)
