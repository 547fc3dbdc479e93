"""Read what one destination has, or may have, of a study, and the study as it was before each of its moves.

Carries out no clause of a standard; decisions D13, D17, D38, D48.
Proved by tests/contract/test_messages.py and tests/contract/test_restoring.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, instant
from gateway.store.database.kept import Kept, kept
from gateway.store.feed.states import MOVED, RESTORED, WITHOUT_ORDER, MessageState
from mappings.model import Reported

_NUMBERS: Final = Statement(
    "SELECT study_id, report_id, filler_order_number FROM sent_number WHERE destination = :destination"
    " AND study_id IN listed(:study_ids) ORDER BY study_id, report_id, place"
)
_LANE: Final = Statement(
    "SELECT study_id, state, is_draft, filler_order_numbers, kind, patient_id,"
    " CASE WHEN sent IS NOT NULL AND attempts + doubts > 0 THEN 1 ELSE 0 END,"
    " CASE WHEN doubts > 0 OR reason = 'move' THEN 1 ELSE 0 END, remarks, restates, is_whole, report_ids, told,"
    " coalesce(reported, made), statuses"
    " FROM message"
    " WHERE destination = :destination AND study_id IN listed(:study_ids) ORDER BY study_id, number"
)
_TAKE_BACK: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = :reason, closed = :now WHERE destination = :destination"
    " AND study_id = :study_id AND state IN ('queued', 'held') AND is_draft = :is_draft AND kind <> 'moved'"
    " RETURNING number"
)
_LEAVE: Final = Statement(
    "UPDATE message SET due = :until WHERE destination = :destination AND study_id = :study_id"
    " AND state = 'indeterminate'"
)
_WITH_IT: Final[frozenset[MessageState]] = frozenset({"sending", "indeterminate", "delivered"})
_TAKES_BACK: Final = _WITH_IT | {"queued", "held"}  # nothing overtakes it
_OPEN: Final[frozenset[MessageState]] = frozenset({"queued", "sending", "indeterminate", "held"})
_OF_NO_USE: Final[frozenset[MessageState]] = frozenset({"dead_letter", "superseded", "recorded"})


@dataclass(frozen=True, slots=True)
class SentState:
    """Record of what one destination has, or may have, of a study.

    `numbers` maps a report id to its filler order numbers, each with its present patient: empty once withdrawn, or
    about to be (D13). `signed` are the numbers of signed reports. `is_in_hand` while a message is being sent; `is_told`
    if a message that counts was made. `restored` maps a supersession key to the digests of the content last sent, from
    the journal after a restore (D38). `without_order` are the numbers whose last message is known to be without the
    order (D48); `with_order` those that were withdrawn, and since then have had no such message. `reported` is what
    was told last under each number (D17), whatever became of the messages: of one without a known OBR-22, when it was
    made. `is_open` while a message is not closed.
    """

    numbers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    signed: frozenset[str] = frozenset()
    is_in_hand: bool = False
    is_told: bool = False
    restored: Mapping[str, frozenset[str]] = field(default_factory=dict)
    without_order: frozenset[str] = frozenset()
    with_order: frozenset[str] = frozenset()
    reported: Mapping[str, Reported] = field(default_factory=dict)
    is_open: bool = field(default=False, compare=False)

    def without(self, withdrawn: Collection[str]) -> SentState:
        """Return a copy in which these numbers are withdrawn."""
        numbers = {
            report_id: {number: "" if number in withdrawn else whose for number, whose in sent_under.items()}
            for report_id, sent_under in self.numbers.items()
        }
        return replace(self, numbers=numbers)


async def read_sent(engine: Engine, destination: str, study_ids: Sequence[str]) -> dict[str, SentState]:
    """Read what a destination has, or may have, of each of these studies.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    asked = {"destination": destination, "study_ids": json.dumps(study_ids)}
    return _each(study_ids, await engine.fetch(_NUMBERS, **asked), await engine.fetch(_LANE, **asked))


def sent_of(destination: str, study_ids: Sequence[str]) -> Steps[dict[str, SentState]]:
    """Read what a destination has, or may have, of each of these studies, within a transaction."""
    asked = {"destination": destination, "study_ids": json.dumps(study_ids)}
    numbers = yield from ask(_NUMBERS, **asked)
    return _each(study_ids, numbers, (yield from ask(_LANE, **asked)))


def cancel_unsent(destination: str, study_id: str, reason: str, now: int, *, is_draft: bool) -> Steps[list[int]]:
    """Cancel the unsent messages of a study; return their numbers.

    Withdrawals for another patient stay: they are owed whatever happens to the study (D13).
    """
    lane = {"destination": destination, "study_id": study_id, "reason": reason, "now": now, "is_draft": int(is_draft)}
    rows = yield from ask(_TAKE_BACK, **lane)
    return [int(number) for (number,) in rows]


def postpone_doubtful(destination: str, study_id: str, until: int) -> Steps[None]:
    """Do not send messages in doubt again before that instant."""
    yield from ask(_LEAVE, destination=destination, study_id=study_id, until=until)


def _each(study_ids: Sequence[str], numbers: Sequence[Row], messages: Sequence[Row]) -> dict[str, SentState]:
    """Group message rows by study, and return the sent state of each."""
    of_study: dict[str, tuple[list[Row], list[Row]]] = {study_id: ([], []) for study_id in study_ids}
    for study_id, *row in numbers:
        of_study[str(study_id)][0].append(row)
    for study_id, *row in messages:
        of_study[str(study_id)][1].append(row)
    return {study_id: _sent(*rows) for study_id, rows in of_study.items()}


def _sent(numbers: Sequence[Row], messages: Sequence[Row]) -> SentState:
    whose = _whose(messages)
    numbers_of: dict[str, dict[str, str]] = {}
    for report_id, number in numbers:
        numbers_of.setdefault(str(report_id), {})[str(number)] = whose.get(str(number), "")
    with_it = [listed for state, is_draft, listed, *_ in messages if state in _WITH_IT and not is_draft]
    states = {state for state, *_ in messages}
    without_order, with_order = _by_order(messages)
    return SentState(
        numbers_of,
        frozenset(number for listed in with_it for number in json.loads(listed)),
        is_in_hand="sending" in states,
        is_told=bool(states - _OF_NO_USE),
        restored=_restored(messages),
        without_order=without_order,
        with_order=with_order,
        reported=_reported(messages),
        is_open=bool(states & _OPEN),
    )


def _restored(messages: Sequence[Row]) -> dict[str, frozenset[str]]:
    """Return the digests of the content last sent, taken from the journal after a restore."""
    if all(RESTORED not in row[7] for row in messages):
        return {}
    last: dict[str, list[tuple[set[str], str]]] = {}
    for state, _, _, kind, _, _, _, remarks, restates, is_whole, report_ids, told, *_ in messages:
        is_restored = RESTORED in remarks.split() and state in {"delivered", "dead_letter"}
        if kind == MOVED or (state in _OF_NO_USE and not is_restored):
            continue
        about = set(json.loads(report_ids))
        before = [] if is_whole else [one for one in last.get(str(restates), []) if one[0].isdisjoint(about)]
        last[str(restates)] = [*before, (about, str(told) if is_restored else "")]
    digests = {restates: frozenset(told for _, told in rows if told) for restates, rows in last.items()}
    return {restates: told for restates, told in digests.items() if told}


def _reported(messages: Sequence[Row]) -> dict[str, Reported]:
    """Return what was last sent under each filler order number: the newest OBR-22, and the last statuses."""
    found: dict[str, Reported] = {}
    for row in messages:
        at, statuses = instant(int(row[-2])), str(row[-1])
        for number in json.loads(row[2]):
            found[number] = Reported(max(at, found[number].at) if number in found else at, statuses)
    return found


def _by_order(messages: Sequence[Row]) -> tuple[frozenset[str], frozenset[str]]:
    """Return `without_order` and `with_order` of the sent state; neither has a message restored from the journal."""
    last: dict[str, bool] = {}
    since: dict[str, bool] = {}  # numbers that were withdrawn -> all messages since then are known to have the order
    for state, _, listed, kind, _, was_written, may_be_there, marked, *_ in messages:
        numbers, remarks = json.loads(listed), set(marked.split())
        if kind == MOVED:
            since |= dict.fromkeys(numbers, True) if state in _TAKES_BACK else {}
        elif state in _WITH_IT or (was_written and may_be_there):
            last |= dict.fromkeys(numbers, WITHOUT_ORDER in remarks)
            is_with = remarks.isdisjoint({WITHOUT_ORDER, RESTORED})
            since |= {one: since[one] and is_with for one in numbers if one in since}
        elif was_written:  # refused: as in `_whose`
            last = dict.fromkeys(numbers, WITHOUT_ORDER in remarks) | last
    return frozenset(one for one in last if last[one]), frozenset(one for one in since if since[one])


def _whose(messages: Sequence[Row]) -> dict[str, str]:
    """Map each filler order number to the patient of the last message sent under it; empty once withdrawn.

    A refused message counts only if nothing else was sent under its number.
    """
    patients: dict[str, str] = {}
    for state, _, listed, kind, patient_id, was_written, may_be_there, *_ in messages:
        numbers = json.loads(listed)
        if kind == MOVED:
            patients.update(dict.fromkeys(numbers, "") if state in _TAKES_BACK else {})
        elif state in _WITH_IT or (was_written and may_be_there):
            patients.update(dict.fromkeys(numbers, str(patient_id)))
        elif was_written:
            patients = dict.fromkeys(numbers, str(patient_id)) | patients
    return patients


_FORMER: Final = Statement("SELECT kept FROM former WHERE study_id = :study_id ORDER BY revision DESC")


async def formers(engine: Engine, study_id: str) -> list[Kept]:
    """Return the study as it was before each of its moves, the latest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [kept(packed) for (packed,) in await engine.fetch(_FORMER, study_id=study_id)]
