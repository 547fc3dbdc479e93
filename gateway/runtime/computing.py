"""Runs what computes beside the loop, two at a time.

Carries out no clause of a standard. Whoever computes holds the interpreter's lock: more threads that want it make
nothing quicker, and each of them may come before the loop.
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
    """What a function returns that waits for nothing: no file, no network, no other thread."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, function, *given)
