"""Read the visits and the pairs of merges that are stored, and store them under other numbers.

Carries out no clause of a standard; decision D48. The caller holds the locks of the numbers before and after.
Proved by tests/gateway/ingest/orders/test_rereading.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.orders.inbound import SettledMessage, settle
from gateway.store.orders.number_changes import StoredChange, change_of, held_by, note_held
from gateway.store.orders.troubled import SET_ASIDE
from gateway.store.orders.visits import StoredVisit, moved_visit, stored_visit
from mappings.answered_order import HospitalMessageName
from mappings.hospital.merges import ResolvedChange

_VISIT_KEYS: Final = Statement("SELECT DISTINCT key FROM visit WHERE key > :after ORDER BY key LIMIT :most")
_VISITS: Final = Statement(
    "SELECT key, at, body, inbound FROM visit WHERE key IN listed(:keys) ORDER BY key, at, inbound"
)
_CHANGES: Final = Statement(
    "SELECT kind, authority, type_code, prior, surviving, surviving_text, source, control_id, held, number"
    " FROM number_change WHERE number > :after AND held = '' ORDER BY number LIMIT :most"
)
_IS_KEPT: Final = Statement("SELECT number FROM inbound WHERE number = :number AND body IS NOT NULL")
_IS_USED: Final = Statement("SELECT number FROM number_change WHERE number = :number AND held = ''")
_MERGES: Final = Statement(
    "SELECT number, source, control_id, body FROM inbound WHERE number > :after AND body IS NOT NULL"
    " AND state IN ('applied', 'nothing') AND code <> :set_aside AND structure IN listed(:structures)"
    " ORDER BY number LIMIT :most"
)


async def visit_keys(engine: Engine, after: str, most: int) -> list[str]:
    """Return the next visits beyond one, each by the text of its number."""
    return [str(key) for (key,) in await engine.fetch(_VISIT_KEYS, after=after, most=most)]


async def used_changes(engine: Engine, after: int, most: int) -> list[StoredChange]:
    """Return the next pairs of numbers that are used, beyond the pair of the number `after`."""
    return [change_of(row) for row in await engine.fetch(_CHANGES, after=after, most=most)]


class KeptMerge(NamedTuple):
    """Applied merge whose bytes are kept, compressed; `number` is that of the message."""

    number: int
    name: HospitalMessageName
    body: bytes


async def merge_messages(engine: Engine, structures: Collection[str], after: int, most: int) -> list[KeptMerge]:
    """Return the next applied merges whose bytes are kept, beyond the message of the number `after`."""
    listed = json.dumps(sorted(structures))
    rows = await engine.fetch(_MERGES, structures=listed, set_aside=SET_ASIDE, after=after, most=most)
    return [
        KeptMerge(int(number), HospitalMessageName(str(source), str(control_id)), bytes(body))
        for number, source, control_id, body in rows
    ]


def reread_visits(
    keys: Collection[str], read_anew: Callable[[StoredVisit], StoredVisit], locked: frozenset[str]
) -> Steps[frozenset[str]]:
    """Store what was told of these visits as `read_anew` reads it, under the number that it then has.

    Return all keys of those that change, before and after. If `locked` lacks one, nothing is written.
    """
    rows = yield from ask(_VISITS, keys=json.dumps(sorted(keys)))
    pairs = [(row, before := stored_visit(row[:3]), read_anew(before)) for row in rows]
    changed = [(row, now) for row, before, now in pairs if now != before]
    concerned = frozenset(key for row, now in changed for key in (str(row[0]), now.key))
    if concerned <= locked:
        for (key, at, _, inbound), now in changed:
            yield from moved_visit(str(key), int(at), int(inbound), now)
    return concerned


def hold_again(number: int, change: ResolvedChange, reason: str, now: int) -> Steps[None]:
    """Settle a message as held since a change that it says is held: an operator can try it again or set it aside."""
    held = yield from held_by(number)
    yield from note_held([*(one.change for one in held), change], number)
    yield from settle({number: SettledMessage("held", reason)}, now)


def is_kept(message: int) -> Steps[bool]:
    """Return True if the message of that number is still there."""
    return bool((yield from ask(_IS_KEPT, number=message)))


def is_used(change: int) -> Steps[bool]:
    """Return True if the pair of that number is still there, and used."""
    return bool((yield from ask(_IS_USED, number=change)))
