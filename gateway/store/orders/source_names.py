"""Rename a source of orders: all tables but that of the sources keep its first name, so that a rename is one step.

HL7 v2.5.1 §4.5.1.2 (ORC-2), decisions D31, D48. Orders, keys and positions stay where they are, however many there are,
and a process that still has the old settings works on the same ones. A name that was given up is free again only for
the source that had it.
Proved by tests/contract/test_source_names.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.feed.audit import noted
from gateway.store.orders.inbound import source_lock
from gateway.store.studies import locks

_NAMES: Final = Statement("SELECT became, origin FROM source WHERE name = :name")
_EVERY: Final = Statement("SELECT name, became, origin FROM source WHERE name >= ''")
_ADD: Final = Statement(
    "INSERT INTO source (name, first_seen) VALUES (:name, :now) ON CONFLICT DO NOTHING RETURNING name"
)
_PUT: Final = Statement("UPDATE source SET became = :became, origin = :origin WHERE name = :name")
_FOLLOW: Final = Statement("UPDATE source SET became = :new WHERE name >= '' AND became = :old")


class SourceNotRenamed(Exception):
    """The source cannot have the name: messages stand under both, or one of the names became `name`.

    `is_own` is True if that one is the present name of the settings, not the former one.
    """

    def __init__(self, name: str = "", *, is_own: bool = False) -> None:
        super().__init__()
        self.name, self.is_own = name, is_own


def renamed(old: str, new: str, now: int) -> Steps[bool]:
    """Let the source `old` be called `new`; False if there is none of that name, or it is called so already.

    `old` is empty for a source without a previous name: then only its name is checked.

    Raises:
        SourceNotRenamed: there are messages under both names, or one of them was renamed since.
    """
    if old:
        yield from locks.take([source_lock(old), source_lock(new)])
    if not (yield from is_to_be_renamed(old, new)):
        return False
    is_known = bool((yield from ask(_NAMES, name=new)))
    is_added = bool((yield from ask(_ADD, name=new, now=now)))
    if not is_known and not is_added:  # a message came under the new name meanwhile
        raise SourceNotRenamed
    ((_, origin),) = yield from ask(_NAMES, name=old)
    first = str(origin) or old
    yield from ask(_FOLLOW, old=old, new=new)
    yield from ask(_PUT, name=new, became="", origin="" if first == new else first)
    yield from ask(_PUT, name=old, became=new, origin="")
    yield from noted("orders-rename", f"{old} {new}", "", now)
    return True


def is_to_be_renamed(old: str, new: str) -> Steps[bool]:
    """True if the new name has not yet taken the place of the old one.

    Raises:
        SourceNotRenamed: there are messages under both names, or one of them was renamed since.
    """
    own = yield from ask(_NAMES, name=new)
    became = str(own[0][0]) if own else ""
    if became not in {"", old}:
        raise SourceNotRenamed(became, is_own=True)
    known = (yield from ask(_NAMES, name=old)) if old else []
    if not known:
        return False
    if (now := str(known[0][0])) not in {"", new}:
        raise SourceNotRenamed(now)
    if not now and own and not became:
        raise SourceNotRenamed
    return not now


async def first_names(engine: Engine) -> dict[str, str]:
    """Return, by the present name of each renamed source, its first one: the store and the matching know it by that.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return {str(name): str(origin) for name, _, origin in await engine.fetch(_EVERY) if origin}


async def present_names(engine: Engine) -> dict[str, str]:
    """Return, by the first name of each renamed source, its present one.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return {first: name for name, first in (await first_names(engine)).items()}


async def under_first_names(engine: Engine, order_days: Mapping[str, int]) -> dict[str, int]:
    """Return the days of each source by its first name in place of its present one.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    names = await first_names(engine)
    return {names.get(name, name): days for name, days in order_days.items()}
