"""Reads what a loop kept under a name; what cannot be read is as if nothing was kept.

Carries out no clause of a standard. A loop that has lost its place begins anew, which costs time and loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gateway.runtime.log import get_logger
from gateway.store.studies.coverage import StoredCursors

Read = TypeVar("Read")


async def kept(cursors: StoredCursors, name: str, read: Callable[[Mapping[str, Any]], Read], otherwise: Read) -> Read:
    """What `read` makes of the value kept under that name, else `otherwise`."""
    value = await cursors.get(name)
    try:
        return otherwise if value is None else read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        get_logger().warning("position-not-understood", operation=name)
        return otherwise
