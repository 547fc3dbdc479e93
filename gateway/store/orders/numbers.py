"""Store hospital numbers: keys by which orders and studies find each other, and changes of numbers (merges).

Carries out no clause of a standard; decision D48.
Proved by tests/contract/test_orders.py and tests/contract/test_erasing_by_number.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, cast, get_args

from gateway.index.keys import SEPARATOR, bounded
from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each, storable
from gateway.store.database.facts import ASK
from mappings.hospital.authorities import PATIENT_TYPES, Authorities, HospitalNumber, KeyKind, OrderKey
from mappings.hospital.events import IssuedNumber, NumberKind
from mappings.hospital.groups import Merges, ResolvedChange, merged, order_keys
from mappings.hospital.known_order import KnownOrder
from mappings.model import HospitalMessageName

PATIENT: Final = "patient"
_RECORD: Final = f"record{SEPARATOR}"
_MOST_PARTS: Final = 3  # behind the kind: authority, type, value


def key_text(key: OrderKey) -> str:
    """Return the key text of an order's number."""
    return bounded(storable(SEPARATOR.join(key)))


def number_text(number: HospitalNumber) -> str:
    """Return the key text of a patient, visit or account number."""
    return bounded(storable(SEPARATOR.join(number)))


def own_text(kind: str, number: IssuedNumber, source: str) -> str:
    """Return the key text of an order's number as its source wrote it, whatever the settings know of its authority."""
    issuer = number.authority
    parts = ("own", source, kind, issuer.namespace, issuer.universal_id, issuer.universal_id_type)
    return bounded(storable(SEPARATOR.join((*parts, number.value.strip()))))


def record_text(number: int) -> str:
    """Return the key text of an order by its number in the database; a study that has read the order is found by it."""
    return f"{_RECORD}{number}"


def is_key(text: str) -> bool:
    """Return True for a text of `key_text`, which a study and an order can share."""
    return text.partition(SEPARATOR)[0] in get_args(KeyKind)


def is_record(text: str) -> bool:
    """Return True for a text of `record_text`."""
    return text.startswith(_RECORD)


def number_of(text: str) -> HospitalNumber | None:
    """Return the number in a key text; None if it is the text of an order's number."""
    kind, *others = text.split(SEPARATOR, _MOST_PARTS)
    if kind not in get_args(NumberKind) or len(others) < _MOST_PARTS:
        return None
    return HospitalNumber(cast(NumberKind, kind), *others)


def keys_of(order: KnownOrder, authorities: Authorities) -> Iterator[str]:
    """Yield the key texts by which an order is found: its own numbers, its patient's, and its visit's."""
    yield from map(key_text, order_keys(order, authorities))
    yield from map(number_text, authorities.patient_numbers(order.patient.numbers, order.source))
    visit = authorities.key_of("visit", order.visit.number if order.visit else None, order.source)
    if visit:
        yield number_text(visit)


_START: Final = f"{PATIENT}{SEPARATOR}"
_BEYOND: Final = chr(ord(SEPARATOR) + 1)
_NEXT_KEY: Final = Statement(
    "SELECT key FROM order_key WHERE key >= :first AND key < :beyond ORDER BY key LIMIT 1",
)
_NEXT_ISSUER: Final = Statement(
    f"SELECT authority FROM number_change WHERE kind = '{PATIENT}' AND authority > :after ORDER BY authority LIMIT 1"  # noqa: S608 (constants)
)
_HAS_ORDER: Final = Statement("SELECT hospital_order FROM order_key WHERE key IN listed(:keys) LIMIT 1")
_HAS_CHANGE: Final = Statement(
    f"SELECT number FROM number_change WHERE kind = '{PATIENT}' AND authority = :authority"  # noqa: S608 (constants)
    " AND (prior = :value OR surviving = :value) LIMIT 1"
)


def of_each_type(authority: str, value: str) -> frozenset[HospitalNumber]:
    """Return a patient number once for each type code of table 0203; `value` is its form for comparison."""
    return frozenset([HospitalNumber(PATIENT, authority, code, value) for code in PATIENT_TYPES - {""}])


async def authorities_having(engine: Engine, value: str) -> set[str]:
    """Return the authorities that have orders or merged numbers with this value (`mrn_key`).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = set[str]()
    first = _START
    while rows := await engine.fetch(_NEXT_KEY, first=first, beyond=_START[:-1] + _BEYOND):
        authority = str(rows[0][0]).split(SEPARATOR)[1]
        keys = json.dumps(sorted(map(number_text, of_each_type(authority, value))))
        if await engine.fetch(_HAS_ORDER, keys=keys):
            found.add(authority)
        first = f"{_START}{authority}{_BEYOND}"
    authority = ""
    while rows := await engine.fetch(_NEXT_ISSUER, after=authority):
        authority = str(rows[0][0])
        if await engine.fetch(_HAS_CHANGE, authority=authority, value=bounded(storable(value))):
            found.add(authority)
    return found


_STUDIES: Final = Statement("SELECT DISTINCT study_id FROM study_key WHERE key IN listed(:keys) ORDER BY study_id")
_DROP: Final = Statement("DELETE FROM study_key WHERE study_id = :study_id AND key NOT IN listed(:keys)")
_ADD_STUDY_KEY: Final = Statement(
    "INSERT INTO study_key (key, study_id) VALUES (:key, :study_id) ON CONFLICT DO NOTHING"
)
OF_STUDY: Final = Statement("SELECT key FROM study_key WHERE study_id = :study_id ORDER BY key")


def lock_names(keys: Iterable[str]) -> list[str]:
    """Return the names of the locks of these numbers, for `locks.take`."""
    return [f"number {key}" for key in keys]


def put_study_keys(study_id: str, keys: Collection[str]) -> Steps[None]:
    """Replace the numbers by which a study is found."""
    yield from ask(_DROP, study_id=study_id, keys=json.dumps(sorted(keys)))
    yield from add_study_keys(study_id, keys)


def add_study_keys(study_id: str, keys: Collection[str]) -> Steps[None]:
    """Add numbers by which a study is found, until its next ingest."""
    yield from ask_each(_ADD_STUDY_KEY, [{"key": key, "study_id": study_id} for key in sorted(keys)])


def studies_with(keys: Collection[str]) -> Steps[list[str]]:
    """Return the stored studies that have one of these numbers."""
    return [str(study_id) for (study_id,) in (yield from ask(_STUDIES, keys=json.dumps(sorted(keys))))]


def refresh_studies(keys: Collection[str], now: int) -> Steps[list[str]]:
    """Request a new ingest of each stored study that has one of these numbers; return their ids."""
    if not keys:
        return []
    study_ids = yield from studies_with(keys)
    yield from ask_each(ASK, [{"verb": "refresh", "argument": one, "asked": now} for one in study_ids])
    return study_ids


_SETTLED: Final = "settled"  # `held` of a change that a later message made void: it is kept, and never read
_CHANGE: Final = f"change{SEPARATOR}"
_MOST_ROUNDS: Final = 50
_COLUMNS: Final = "kind, authority, type_code, prior, surviving, surviving_text, source, control_id, held"
_ADD_CHANGE: Final = Statement(
    f"INSERT INTO number_change ({_COLUMNS}, at) VALUES (:kind, :authority, :type_code, :prior, :surviving,"  # noqa: S608 (constants)
    " :surviving_text, :source, :control_id, :held, :at) ON CONFLICT DO NOTHING RETURNING number"
)
_USE: Final = Statement(
    "UPDATE number_change SET held = '', source = :source, control_id = :control_id, at = :at WHERE kind = :kind"
    " AND authority = :authority AND prior = :prior AND surviving = :surviving AND type_code = :type_code"
    " AND held <> '' RETURNING number"
)
_HOLD: Final = Statement(
    "UPDATE number_change SET held = :held, source = :source, control_id = :control_id, at = :at WHERE kind = :kind"  # noqa: S608 (constants)
    " AND authority = :authority AND prior = :prior AND surviving = :surviving AND type_code = :type_code"
    f" AND (held = '{_SETTLED}' OR held <> '' AND source = :source AND control_id = :control_id) RETURNING number"
)
_SETTLE: Final = Statement(
    f"UPDATE number_change SET held = '{_SETTLED}' WHERE kind = :kind AND authority = :authority"  # noqa: S608 (constants)
    " AND type_code = :type_code AND (prior = :prior OR prior = :surviving AND surviving = :prior)"
    f" AND held NOT IN ('', '{_SETTLED}') RETURNING number"
)
_OF: Final = Statement(
    f"SELECT {_COLUMNS}, number FROM number_change WHERE kind = :kind AND authority = :authority"  # noqa: S608 (constants)
    f" AND held <> '{_SETTLED}' AND (prior IN listed(:values) OR surviving IN listed(:values))"
)
_HELD: Final = Statement(
    "SELECT number FROM number_change WHERE kind = :kind AND authority = :authority AND prior = :prior"  # noqa: S608 (constants)
    f" AND surviving = :surviving AND type_code = :type_code AND held NOT IN ('', '{_SETTLED}')"
)
_ADD_SAYING: Final = Statement("INSERT INTO inbound_key (key, inbound) VALUES (:key, :inbound) ON CONFLICT DO NOTHING")
_SAID: Final = Statement("SELECT key FROM inbound_key WHERE inbound = :inbound ORDER BY key")
_DROP_SAYINGS: Final = Statement("DELETE FROM inbound_key WHERE inbound = :inbound")
_BY_NUMBER: Final = Statement(
    f"SELECT {_COLUMNS}, number FROM number_change WHERE number = :number AND held NOT IN ('', '{_SETTLED}')"  # noqa: S608 (constants)
)
# One that waits or failed was held before, and is tried again
_SAID_BY: Final = Statement(
    "SELECT i.source, i.control_id FROM inbound_key k JOIN inbound i ON i.number = k.inbound"
    " WHERE k.key = :key AND k.inbound <> :inbound AND i.state NOT IN ('applied', 'nothing') ORDER BY i.number LIMIT 1"
)
_PASS_ON: Final = Statement(
    "UPDATE number_change SET source = :source, control_id = :control_id WHERE number = :number"
)
_VOID: Final = Statement(
    f"UPDATE number_change SET held = '{_SETTLED}' WHERE number = :number AND held NOT IN ('', '{_SETTLED}')"  # noqa: S608 (constants)
)
_DROP_USED: Final = Statement("DELETE FROM number_change WHERE number = :number AND held = ''")
_DROP_SAYING: Final = Statement("DELETE FROM inbound_key WHERE key = :key")
# Reasons of held changes for which only the old number is in doubt
_ONE_IN_DOUBT: Final = frozenset({"merge-second-survivor"})


@dataclass(frozen=True, slots=True)
class StoredChange:
    """Stored change of a number, with the surviving number as the hospital wrote it.

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
    """Store a change; False if it is known already. A held change comes into use once a message brings it unheld."""
    pair = _pair(change)
    said = {"source": message.source, "control_id": storable(message.control_id), "at": at}
    rows = yield from ask(_ADD_CHANGE, surviving_text=storable(surviving_text), held=held, **pair, **said)
    if not rows:
        rows = yield from (ask(_HOLD, held=held, **pair, **said) if held else ask(_USE, **pair, **said))
    return bool(rows)


def settle_doubt(change: ResolvedChange) -> Steps[bool]:
    """Discard the held changes of the old number of a used change; False if there are none."""
    return bool((yield from ask(_SETTLE, **_pair(change))))


def note_held(changes: Iterable[ResolvedChange], inbound: int) -> Steps[None]:
    """Note which held changes a message (by its number) brings; replaces what was noted of the message before."""
    yield from ask(_DROP_SAYINGS, inbound=inbound)
    for change in changes:
        for (number,) in (yield from ask(_HELD, **_pair(change))):
            yield from ask(_ADD_SAYING, key=_saying(int(number)), inbound=inbound)


def held_by(inbound: int) -> Steps[list[StoredChange]]:
    """Return the held changes that the message with this number brings."""
    found: list[Row] = []
    for (key,) in (yield from ask(_SAID, inbound=inbound)):
        number = str(key).removeprefix(_CHANGE)
        found += (yield from ask(_BY_NUMBER, number=int(number))) if number != key else ()
    return list(map(change_of, found))


def let_go(changes: Iterable[StoredChange], inbound: int) -> Steps[None]:
    """Discard the held changes of a message, except those that another held message brings, too."""
    for one in changes:
        said_by = yield from ask(_SAID_BY, key=_saying(one.number), inbound=inbound)
        for source, control_id in said_by:
            yield from ask(_PASS_ON, number=one.number, source=source, control_id=control_id)
        if not said_by:
            yield from ask(_VOID, number=one.number)
    yield from ask(_DROP_SAYINGS, inbound=inbound)


def drop_used(number: int) -> Steps[None]:
    """Delete a used change by its number, and the notes that held messages bring it."""
    yield from ask(_DROP_USED, number=number)
    yield from ask(_DROP_SAYING, key=_saying(number))


async def changes_of(engine: Engine, numbers: Iterable[HospitalNumber]) -> list[StoredChange]:
    """Return all changes that lead to or from one of these numbers, also indirectly, in the order they were applied.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    search = _Search(numbers)
    while issuers := search.next_round():
        for (kind, authority), values in issuers.items():
            listed = json.dumps(sorted(values))
            search.found(await engine.fetch(_OF, kind=kind, authority=authority, values=listed))
    return search.changes


def changes_with(numbers: Iterable[HospitalNumber]) -> Steps[list[StoredChange]]:
    """Return the changes of `changes_of`, within a transaction."""
    search = _Search(numbers)
    while issuers := search.next_round():
        for (kind, authority), values in issuers.items():
            search.found((yield from ask(_OF, kind=kind, authority=authority, values=json.dumps(sorted(values)))))
    return search.changes


class _Search:
    """Search for changes that lead from number to number, in rounds."""

    def __init__(self, numbers: Iterable[HospitalNumber]) -> None:
        self._found: dict[int, StoredChange] = {}
        self._asked: set[HospitalNumber] = set()
        self._wanted = set(map(_fit, numbers))
        self._rounds = 0

    def next_round(self) -> dict[tuple[str, str], set[str]]:
        """Return the values to look up next, by kind and authority; empty when the search is done."""
        new = self._wanted - self._asked if self._rounds < _MOST_ROUNDS else set()
        self._asked |= new
        self._rounds += 1
        return _by_issuer(new)

    def found(self, rows: Iterable[Row]) -> None:
        """Add the rows found, and look up the numbers in them next."""
        made = list(map(change_of, rows))
        self._found |= {one.number: one for one in made}
        self._wanted |= {number for one in made for number in one.change}

    @property
    def changes(self) -> list[StoredChange]:
        """Changes found, in the order in which they were applied."""
        return [self._found[number] for number in sorted(self._found)]


def _saying(number: int) -> str:
    """Return the key under which a message is noted for a held change; it names no patient."""
    return f"{_CHANGE}{number}"


def _fit(number: HospitalNumber) -> HospitalNumber:
    """Return a number in the form that columns and indexes can hold; also use it to look the number up."""
    return HospitalNumber(number.kind, *[bounded(storable(part)) for part in number[1:]])


def _pair(change: ResolvedChange) -> dict[str, str]:
    prior, surviving = map(_fit, change)
    return {
        "kind": prior.kind,
        "authority": prior.authority,
        "type_code": prior.type_code,
        "prior": prior.value,
        "surviving": surviving.value,
    }


def merges_of(changes: Collection[StoredChange]) -> Merges:
    """Combine changes to merges; the numbers of held changes are in doubt."""
    merges = merged(one.change for one in changes if not one.held)
    return Merges(merges.survivors, merges.held, merges.doubtful.union(_doubtful(changes)))


def _by_issuer(numbers: Iterable[HospitalNumber]) -> dict[tuple[str, str], set[str]]:
    values: dict[tuple[str, str], set[str]] = {}
    for one in numbers:
        values.setdefault((one.kind, one.authority), set()).add(one.value)
    return values


def change_of(row: Row) -> StoredChange:
    """Build a change from a row of all columns, the number last."""
    kind, authority, type_code, prior, surviving, text, source, control_id, held, number = row
    issuer = (cast(NumberKind, str(kind)), str(authority), str(type_code))
    change = ResolvedChange(HospitalNumber(*issuer, str(prior)), HospitalNumber(*issuer, str(surviving)))
    return StoredChange(int(number), change, str(text), HospitalMessageName(str(source), str(control_id)), str(held))


def _doubtful(changes: Iterable[StoredChange]) -> Iterator[HospitalNumber]:
    """Yield the numbers of held changes; they match nothing."""
    for one in changes:
        if one.held and one.change.prior != one.change.surviving:
            yield one.change.prior
            if one.held not in _ONE_IN_DOUBT:
                yield one.change.surviving
