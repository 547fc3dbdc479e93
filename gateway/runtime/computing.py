"""Run computations in threads beside the event loop, two at a time.

Carries out no clause of a standard. A computing thread holds the interpreter's lock: more threads make nothing faster,
and each of them may delay the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Given = TypeVarTuple("Given")
_POOL: Final = ThreadPoolExecutor(2, thread_name_prefix="computing")


async def computed(function: Callable[[*Given], Result], *given: *Given) -> Result:
    """Run a pure computation in a thread, and return its result; it may wait for no file, network or thread."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, function, *given)
