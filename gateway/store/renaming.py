"""Gives a destination another name: with its ledger, its queue, its pause and its lease, in one transaction.

Carries out no clause of a standard; decision D31. What somebody has in hand is in doubt afterwards, as after any change
of holder: the old name can be held by nobody any more, and the new one not before the old holder's time is over. MSH-10
goes on being made of the first name, so that nothing that was told is told again as something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway.store.audit import noted
from gateway.store.engine import Engine
from gateway.store.leases import locked
from gateway.store.schema import METADATA
from gateway.store.statements import Row, Statement, Steps, ask

_NAMED: Final = Statement(
    "SELECT became, origin, fence, expires, holder, paused, paused_since, retired FROM destination WHERE name = :name"
)
_HAS_ROWS: Final = Statement("SELECT 1 FROM outbox WHERE destination = :name LIMIT 1")
_HAS_MESSAGES: Final = Statement("SELECT 1 FROM message WHERE destination = :name LIMIT 1")
_PUT: Final = Statement(
    "UPDATE destination SET became = :became, origin = :origin, fence = :fence, expires = :expires, holder = :holder,"
    " paused = :paused, paused_since = :paused_since, retired = :retired WHERE name = :name"
)
_FOLLOW: Final = Statement("UPDATE destination SET became = :new WHERE became = :old")
# Who went on with the old settings may have written rows of the old name: of the same news one is enough
_SAID_TWICE: Final = Statement(
    "UPDATE outbox SET destination = :new, state = 'merged', reason = 'renamed', settled = :now"
    " WHERE destination = :old AND state = 'waiting' AND EXISTS (SELECT 1 FROM outbox n"
    " WHERE n.study_id = outbox.study_id AND n.destination = :new AND n.report_id = outbox.report_id"
    " AND n.kind = outbox.kind AND n.content_version = outbox.content_version AND n.replay = outbox.replay"
    " AND n.state IN ('waiting', 'held', 'rendered', 'merged'))"
)
_MOVE: Final = {
    table.name: Statement(f"UPDATE {table.name} SET destination = :new WHERE destination = :old")  # noqa: S608 (constants)
    for table in METADATA.sorted_tables
    if "destination" in table.columns
}
_IN_FORCE: Final = Statement("UPDATE in_force SET name = :new WHERE name = :old")
# Of an alert that stands under both names one is enough
_TOLD_TWICE: Final = Statement(
    "DELETE FROM alert WHERE destination = :old AND code IN (SELECT n.code FROM alert n WHERE n.destination = :new)"
)
_FACTS: Final = Statement("SELECT name FROM fact ORDER BY name")  # a few for each destination
_DROP_FACT: Final = Statement("DELETE FROM fact WHERE name = :new")
_MOVE_FACT: Final = Statement("UPDATE fact SET name = :new WHERE name = :old")


class NotRenamed(Exception):
    """The name cannot be taken over: messages stand under both, or one of them became another, which is `name`."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name


@dataclass(frozen=True, slots=True)
class _Standing:
    """A row of `destination`, without its name."""

    became: str = ""
    origin: str = ""
    fence: int = 0
    expires: int = 0
    holder: str = ""
    paused: str = ""
    paused_since: int | None = None
    retired: int = 0


def renamed(old: str, new: str, now: int) -> Steps[bool]:
    """Give all that stands under the old name to the new one; False where there was nothing, or it was done before.

    Raises:
        NotRenamed: there are messages under both names, or one of them became another since.
    """
    if not (yield from _is_known(old)):
        return False
    for name in sorted((old, new)):  # else two that rename would wait for each other
        yield from locked(name)
    is_new = yield from is_to_be_renamed(old, new)
    if is_new:
        yield from _take_over(old, new)
        yield from noted("feed-rename", f"{old} {new}", "", now)
    names = {"old": old, "new": new}
    yield from ask(_SAID_TWICE, **names, now=now)
    for statement in (_TOLD_TWICE, *_MOVE.values(), _IN_FORCE):
        yield from ask(statement, **names)
    return is_new


def is_to_be_renamed(old: str, new: str) -> Steps[bool]:
    """Whether the new name is still to take over what stands under the old one.

    Raises:
        NotRenamed: there are messages under both names, or one of them became another since.
    """
    if not (yield from _is_known(old)):
        return False
    before, after = (yield from _standing(old)), (yield from _standing(new))
    for standing, own in ((before, {"", new}), (after, {"", old})):
        if standing.became not in own:
            raise NotRenamed(standing.became)
    if not before.became and (yield from ask(_HAS_MESSAGES, name=new)):
        raise NotRenamed
    return not before.became


async def became(engine: Engine, name: str) -> str:
    """The name that a destination of that name has by now; empty where it still has it."""
    rows = await engine.fetch(_NAMED, name=name)
    return str(rows[0][0]) if rows else ""


async def origin(engine: Engine, name: str) -> str:
    """The first name of a destination: what MSH-10 is made of."""
    rows = await engine.fetch(_NAMED, name=name)
    return str(rows[0][1] if rows else "") or name


def _is_known(name: str) -> Steps[bool]:
    found = yield from ask(_NAMED, name=name)
    return bool(found or (yield from ask(_HAS_ROWS, name=name)))


def _standing(name: str) -> Steps[_Standing]:
    rows: list[Row] = yield from ask(_NAMED, name=name)
    return _Standing(*rows[0]) if rows else _Standing()


def _take_over(old: str, new: str) -> Steps[None]:
    """The lease with its fence, the pause, and what is known of the settings; who had the old name holds it no more."""
    before, after = (yield from _standing(old)), (yield from _standing(new))
    first = before.origin or old
    fence = max(before.fence, after.fence) + 1
    paused = before if before.paused else after
    kept: dict[str, Any] = {
        "became": "",
        "origin": "" if first == new else first,
        "fence": fence,
        "expires": max(before.expires, after.expires),
        "holder": before.holder,
        "paused": paused.paused,
        "paused_since": paused.paused_since,
        "retired": before.retired,
    }
    gone = kept | {"became": new, "origin": "", "expires": 0, "holder": "", "paused": "", "paused_since": None}
    yield from ask(_FOLLOW, old=old, new=new)
    yield from ask(_PUT, name=new, **kept)
    yield from ask(_PUT, name=old, **gone | {"retired": 0})
    for (fact,) in (yield from ask(_FACTS)):
        kind, colon, name = str(fact).rpartition(":")
        if colon and name == old:
            yield from ask(_DROP_FACT, new=f"{kind}:{new}")
            yield from ask(_MOVE_FACT, old=fact, new=f"{kind}:{new}")
