"""Store merged and changed numbers of patients, visits and accounts, and read all that concern some numbers.

HL7 v2.5.1 §3.3.40 (A40), §3.3.47 (A47), decision D48. Only the pair of numbers is kept of a merge.
Proved by tests/contract/test_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask
from mappings.answered_order import HospitalMessageName
from mappings.hospital.authorities import HospitalNumber
from mappings.hospital.events import NumberKind
from mappings.hospital.merges import ResolvedChange

_MOST_ROUNDS: Final = 50
_COLUMNS: Final = "kind, authority, type_code, prior, surviving, surviving_text, source, control_id, held"
_ADD: Final = Statement(
    f"INSERT INTO number_change ({_COLUMNS}, at) VALUES (:kind, :authority, :type_code, :prior, :surviving,"  # noqa: S608 (constants)
    " :surviving_text, :source, :control_id, :held, :at) ON CONFLICT DO NOTHING RETURNING number"
)
_OF: Final = Statement(
    f"SELECT {_COLUMNS}, number FROM number_change WHERE kind = :kind AND authority = :authority"  # noqa: S608 (constants)
    " AND (prior IN listed(:values) OR surviving IN listed(:values))"
)


@dataclass(frozen=True, slots=True)
class StoredChange:
    """Change of a number as it is stored, with the surviving number as the hospital wrote it.

    `held` is the reason for which the message that brought it is held; empty if it is used.
    """

    number: int
    change: ResolvedChange
    surviving_text: str
    message: HospitalMessageName
    held: str = ""


def add_change(
    change: ResolvedChange, surviving_text: str, message: HospitalMessageName, held: str, at: int
) -> Steps[bool]:
    """Store a change; return False if it is known already."""
    prior, surviving = change
    rows = yield from ask(
        _ADD,
        kind=prior.kind,
        authority=prior.authority,
        type_code=prior.type_code,
        prior=prior.value,
        surviving=surviving.value,
        surviving_text=surviving_text,
        source=message.source,
        control_id=message.control_id,
        held=held,
        at=at,
    )
    return bool(rows)


async def changes_of(engine: Engine, numbers: Iterable[HospitalNumber]) -> list[StoredChange]:
    """Return all changes that lead to or from one of these numbers, also by others, in the order they were applied.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found: dict[int, StoredChange] = {}
    asked: set[HospitalNumber] = set()
    wanted = set(numbers)
    for _ in range(_MOST_ROUNDS):
        new = wanted - asked
        if not new:
            break
        asked |= new
        for (kind, authority), values in _by_issuer(new).items():
            rows = await engine.fetch(_OF, kind=kind, authority=authority, values=json.dumps(sorted(values)))
            found |= {one.number: one for one in map(_change, rows)}
        wanted = {number for one in found.values() for number in one.change}
    return [found[number] for number in sorted(found)]


def _by_issuer(numbers: Iterable[HospitalNumber]) -> dict[tuple[str, str], set[str]]:
    values: dict[tuple[str, str], set[str]] = {}
    for one in numbers:
        values.setdefault((one.kind, one.authority), set()).add(one.value)
    return values


def _change(row: Row) -> StoredChange:
    kind, authority, type_code, prior, surviving, text, source, control_id, held, number = row
    issuer = (cast(NumberKind, str(kind)), str(authority), str(type_code))
    change = ResolvedChange(HospitalNumber(*issuer, str(prior)), HospitalNumber(*issuer, str(surviving)))
    return StoredChange(int(number), change, str(text), HospitalMessageName(str(source), str(control_id)), str(held))
