"""Rename a destination in the database, with all messages, the queue, the pause and the lease, in one transaction.

Carries out no clause of a standard; decision D31. Messages in hand are in doubt afterwards, as after any change of
holder. No process can hold the old name again, nor the new one before the old lease expires. Control ids are still made
from the first name, so that nothing is sent again as a different message.
Proved by tests/contract/test_renaming.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from gateway.store.database.engine import Engine
from gateway.store.database.feed_schema import DESTINATION
from gateway.store.database.schema import METADATA
from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.feed.audit import noted
from gateway.store.feed.leases import locked

_COLUMNS: Final = tuple(one.name for one in DESTINATION.columns if one.name != "name")
_NAMED: Final = Statement(f"SELECT {', '.join(_COLUMNS)} FROM destination WHERE name = :name")  # noqa: S608 (constants)
_NAMES: Final = Statement("SELECT became, origin FROM destination WHERE name = :name")
_HAS_ROWS: Final = Statement("SELECT 1 FROM outbox WHERE destination = :name LIMIT 1")
_HAS_MESSAGES: Final = Statement("SELECT 1 FROM message WHERE destination = :name LIMIT 1")
_PUT: Final = Statement(
    f"UPDATE destination SET {', '.join(f'{one} = :{one}' for one in _COLUMNS)} WHERE name = :name"  # noqa: S608
)
_FOLLOW: Final = Statement("UPDATE destination SET became = :new WHERE became = :old")
# A process with the old settings may have written rows under the old name: one row of each cause is enough
_SAID_TWICE: Final = Statement(
    "UPDATE outbox SET destination = :new, state = 'merged', reason = 'renamed', settled = :now"
    " WHERE destination = :old AND state = 'waiting' AND EXISTS (SELECT 1 FROM outbox n"
    " WHERE n.study_id = outbox.study_id AND n.destination = :new AND n.report_id = outbox.report_id"
    " AND n.kind = outbox.kind AND n.content_version = outbox.content_version AND n.replay = outbox.replay"
    " AND n.state IN ('waiting', 'held', 'rendered', 'merged'))"
)


def _as_before(state: str, *before: str) -> Statement:
    """Return the update of rows under the new name where the former name, forgotten at first, has such rows too."""
    return Statement(
        f"UPDATE outbox SET state = '{state}', reason = 'renamed', settled = :now"  # noqa: S608 (constants)
        " WHERE destination = :new AND state IN ('planned', 'excluded', 'before_start') AND EXISTS (SELECT 1"
        " FROM outbox o WHERE o.study_id = outbox.study_id AND o.destination = :old"
        " AND o.report_id = outbox.report_id AND o.kind = outbox.kind AND o.content_version = outbox.content_version"
        f" AND o.state IN ({', '.join(map(repr, before))}))"
    )


_TOLD_BEFORE: Final = _as_before("merged", "waiting", "held", "rendered", "merged")
_LEFT_BEFORE: Final = _as_before("left", "left")
_MOVE: Final = {
    table.name: Statement(f"UPDATE {table.name} SET destination = :new WHERE destination = :old")  # noqa: S608 (constants)
    for table in METADATA.sorted_tables
    if "destination" in table.columns
}
_IN_FORCE: Final = Statement("UPDATE in_force SET name = :new WHERE name = :old")
# One alert is enough if it stands under both names
_TOLD_TWICE: Final = Statement(
    "DELETE FROM alert WHERE destination = :old AND code IN (SELECT n.code FROM alert n WHERE n.destination = :new)"
)
_FACTS: Final = Statement("SELECT name FROM fact ORDER BY name")  # a few for each destination
_DROP_FACT: Final = Statement("DELETE FROM fact WHERE name = :new")
_MOVE_FACT: Final = Statement("UPDATE fact SET name = :new WHERE name = :old")


class NotRenamed(Exception):
    """The destination cannot take over the name: messages stand under both, or one of them was renamed to `name`."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name


def renamed(old: str, new: str, now: int) -> Steps[bool]:
    """Move everything under the old name to the new one; False if there is nothing, or it was moved before.

    Raises:
        NotRenamed: there are messages under both names, or one of them was renamed since.
    """
    if not (yield from _is_known(old)):
        return False
    for name in sorted((old, new)):  # in one order, so that two renaming processes do not deadlock
        yield from locked(name)
    is_new = yield from is_to_be_renamed(old, new)
    if is_new:
        yield from _take_over(old, new)
        yield from noted("feed-rename", f"{old} {new}", "", now)
    names = {"old": old, "new": new}
    if (yield from ask(_HAS_ROWS, name=old)):
        yield from ask(_SAID_TWICE, **names, now=now)
        yield from ask(_TOLD_BEFORE, **names, now=now)
        yield from ask(_LEFT_BEFORE, **names, now=now)
    for statement in (_TOLD_TWICE, *_MOVE.values(), _IN_FORCE):
        yield from ask(statement, **names)
    return is_new


def is_to_be_renamed(old: str, new: str) -> Steps[bool]:
    """True if the new name has not yet taken over the old one.

    Raises:
        NotRenamed: there are messages under both names, or one of them was renamed since.
    """
    if not (yield from _is_known(old)):
        return False
    became = yield from _became(old)
    for name, own in ((became, {"", new}), ((yield from _became(new)), {"", old})):
        if name not in own:
            raise NotRenamed(name)
    if not became and (yield from ask(_HAS_MESSAGES, name=new)):
        raise NotRenamed
    return not became


async def known_as(engine: Engine, name: str, formerly: str) -> str:
    """Return the name under which the database has a destination: the former one until it is renamed."""
    try:
        is_old = bool(formerly) and await engine.do(partial(is_to_be_renamed, formerly, name))
    except NotRenamed:  # reported when something is written
        is_old = False
    return formerly if is_old else name


async def now_called(engine: Engine, name: str) -> str:
    """Return the present name of a destination once called this; empty if the name is unchanged."""
    rows = await engine.fetch(_NAMES, name=name)
    return str(rows[0][0]) if rows else ""


async def origin(engine: Engine, name: str) -> str:
    """Return the first name of a destination, from which control ids are made."""
    rows = await engine.fetch(_NAMES, name=name)
    return str(rows[0][1] if rows else "") or name


def _is_known(name: str) -> Steps[bool]:
    rows = yield from ask(_NAMES, name=name)
    return bool(rows or (yield from ask(_HAS_ROWS, name=name)))


def _became(name: str) -> Steps[str]:
    rows = yield from ask(_NAMES, name=name)
    return str(rows[0][0]) if rows else ""


def _row(name: str) -> Steps[dict[str, Any]]:
    rows = yield from ask(_NAMED, name=name)
    return dict(zip(_COLUMNS, rows[0], strict=True))


def _take_over(old: str, new: str) -> Steps[None]:
    """Exchange the two rows, with lease and pause; no process holds the old name any more.

    The holders of both leases lose them, and the next holder waits until both have expired.
    """
    before, after = (yield from _row(old)), (yield from _row(new))
    first = before["origin"] or old
    fence, expires = max(before["fence"], after["fence"]) + 1, max(before["expires"], after["expires"])
    kept = before | {"origin": "" if first == new else first, "fence": fence, "expires": expires}
    if not before["paused"]:
        kept |= {key: after[key] for key in ("paused", "paused_since")}
    free = {"holder": "", "expires": 0, "paused": "", "paused_since": None}
    gone = after | free | {"became": new, "origin": "", "fence": fence}
    yield from ask(_FOLLOW, old=old, new=new)
    yield from ask(_PUT, name=new, **kept)
    yield from ask(_PUT, name=old, **gone)
    for (fact,) in (yield from ask(_FACTS)):
        kind, colon, name = str(fact).rpartition(":")
        if colon and name == old:
            yield from ask(_DROP_FACT, new=f"{kind}:{new}")
            yield from ask(_MOVE_FACT, old=fact, new=f"{kind}:{new}")
