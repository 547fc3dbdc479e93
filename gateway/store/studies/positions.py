"""Read the position at which a background loop stopped; an unreadable position counts as none.

Carries out no clause of a standard. A loop without its position starts from the beginning, which only costs time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gateway.runtime.log import get_logger
from gateway.store.studies.coverage import StoredCursors

Read = TypeVar("Read")


async def kept(cursors: StoredCursors, name: str, read: Callable[[Mapping[str, Any]], Read], otherwise: Read) -> Read:
    """Return `read` of the value stored under that name, or `otherwise` if there is none or it is unreadable."""
    value = await cursors.get(name)
    try:
        return otherwise if value is None else read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        get_logger().warning("position-not-understood", operation=name)
        return otherwise
