"""Carry out `orders list`, `orders match` and `orders release`: see how studies were matched, and decide about one.

Carries out no clause of a standard; decisions D12, D48. A decision is kept in the database, and the running service
ingests the study again.
Proved by tests/gateway/cli/test_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from gateway.cli.command_line import Say
from gateway.cli.near_orders import read_study, with_others
from gateway.feed.operator.arguments import counted, id_of, wrong
from gateway.feed.operator.order_of_study import match_line, match_said
from gateway.feed.operator.typed_instant import typed_instant
from gateway.ingest.assembly import store_for_command
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.words import OrderState
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, micros
from gateway.store.database.operator_acts import noted
from gateway.store.feed.order_news import not_sent_again
from gateway.store.feed.outbox import held_studies
from gateway.store.feed.states import ORDER_AWAITED, WRONG_VISIT
from gateway.store.orders.hospital import orders_by_number
from gateway.store.orders.matches import StoredDecision, StoredMatch, decide, matches_of, matches_with
from mappings.hospital.reasons import REASONS, Verdict
from mappings.hospital.settled import against_decision, left_out

_UNMATCHED: Final[tuple[Verdict, ...]] = ("held", "refused", "none")
_IN_PART: Final = "group-in-part"
_TOGETHER: Final = "Orders of one patient under one accession number are answered together. Name"
_Places: TypeAlias = dict[str, list[str]]
_SERVICE: Final = "the running service ingests it again"


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Matches to list: those of a state, or all without an order; that stand from an instant on, as typed."""

    state: OrderState | None = None
    since: str | None = None


async def list_orders(configuration: Configuration, request: ListRequest, say: Say, *, as_json: bool = False) -> int:
    """Print a study a line, with the verdict and the reason of its match, by ids and codes alone; return 0.

    Raises:
        ConfigError: `--since` is no instant.
        StoreUnavailable: the store cannot be reached.
    """
    since = micros(typed_instant("--since", request.since, configuration.zone)) if request.since else 0
    now, argument = micros(clock.now()), f"{request.state or 'unmatched'} since {since}"
    async with store_for_command(configuration, writes=False) as engine:
        await engine.do(partial(noted, "orders-list", argument, "", now))
        waiting = await _waiting(engine, configuration)
        wrong = await _wrong(engine, configuration, since)
        found = [one async for one in _found(engine, request.state, since, waiting, wrong)]
    rows = [
        {
            "studyId": one.study_id,
            **match_said(one),
            "waitsAt": waiting.get(one.study_id, []),
            "wrongVisitAt": wrong.get(one.study_id, []),
        }
        for one in found
    ]
    if as_json:
        say(json.dumps(rows, indent=2))
        return 0
    for row, match in zip(rows, found, strict=True):
        places = _at("; waits at", row["waitsAt"]) + _at("; another patient's visit was sent to", row["wrongVisitAt"])
        say(f"{match.study_id}  {match_line(match)}  since {row['since']}{places}")
    say(counted(len(rows), "study"))
    return 0


async def _found(
    engine: Engine, state: OrderState | None, since: int, waiting: _Places, wrong: _Places
) -> AsyncIterator[StoredMatch]:
    if state == "wrong-visit":
        for match in (await matches_of(engine, sorted(wrong))).values():
            yield match
        return
    if state == "waiting":
        for match in (await matches_of(engine, sorted(waiting))).values():
            if match.since >= since:
                yield match
        return
    for verdict in _UNMATCHED if state is None else (state,):
        async for match in matches_with(engine, verdict, since):
            yield match


async def _waiting(engine: Engine, configuration: Configuration) -> _Places:
    """Return the studies of which a message waits for the order, with the destinations where it waits."""
    waiting: _Places = {}
    for destination in routes_of(configuration).destinations:
        for study_id in await held_studies(engine, destination.name, ORDER_AWAITED):
            waiting.setdefault(study_id, []).append(destination.name)
    return waiting


async def _wrong(engine: Engine, configuration: Configuration, since: int) -> _Places:
    """Return the studies that were sent with another patient's visit, with the destinations that had nothing since."""
    wrong: _Places = {}
    for destination in routes_of(configuration).destinations:
        for study_id in await not_sent_again(engine, destination.name, WRONG_VISIT, since):
            wrong.setdefault(study_id, []).append(destination.name)
    return wrong


def _at(words: str, names: Sequence[str]) -> str:
    return f"{words} {', '.join(names)}" if names else ""


async def match_orders(  # noqa: PLR0913 (the command's arguments)
    configuration: Configuration, study_id: str, numbers: Sequence[int], reason: str, say: Say, *, as_json: bool = False
) -> int:
    """Decide that a study answers these orders; return 1 if it must not, such as for another patient's order.

    Raises:
        ConfigError: the study, or an order, is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    study_id, numbers = id_of(study_id), tuple(dict.fromkeys(numbers))
    async with store_for_command(configuration) as engine:
        study = await read_study(engine, configuration, study_id)
        orders = await orders_by_number(engine, numbers)
        if study is None:
            raise wrong(study_id, "no such study is stored", "`orders list` names those without an order.")
        for number in numbers:
            if all(number != one.number for one in orders):
                raise wrong(str(number), "no such order is stored", "`orders show STUDY` has those near it.")
        known = await with_others(engine, configuration, study.search, orders)
        refusal = against_decision(study.search, known, numbers)
        others = () if refusal else left_out(study.search, known, numbers, clock.now())
        if refusal or others:
            said = {"studyId": study_id, "orders": list(numbers), "refused": refusal or _IN_PART}
            _say(say, said | {"leftOut": list(others)}, _refused(refusal, others), as_json)
            return 1
        await _decided(engine, StoredDecision(study_id, "match", numbers, reason, micros(clock.now())))
    line = f"{study_id} answers {_orders(numbers)}: {_SERVICE}"
    _say(say, {"studyId": study_id, "decision": "match", "orders": list(numbers)}, line, as_json)
    return 0


async def release(configuration: Configuration, study_id: str, reason: str, say: Say, *, as_json: bool = False) -> int:
    """Decide that a study goes without an order, and waits for none; return 0.

    Raises:
        ConfigError: the study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    study_id = id_of(study_id)
    async with store_for_command(configuration) as engine:
        await _decided(engine, StoredDecision(study_id, "release", (), reason, micros(clock.now())))
    line = f"{study_id} goes without an order: {_SERVICE}"
    _say(say, {"studyId": study_id, "decision": "release", "orders": []}, line, as_json)
    return 0


async def _decided(engine: Engine, decision: StoredDecision) -> None:
    if not await engine.do(partial(decide, decision)):
        gone = "no such study is stored, or the order is stored no more"
        raise wrong(decision.study_id, gone, "`orders list` names those without an order.")


def _refused(refusal: str, others: Sequence[int]) -> str:
    why = (
        f"({refusal}): {REASONS[refusal].sentence}" if refusal else f"({_IN_PART}): {_TOGETHER} {_orders(others)} too."
    )
    return f"refused {why} Nothing was decided."


def _orders(numbers: Sequence[int]) -> str:
    return ", ".join(f"order {one}" for one in numbers)


def _say(say: Say, said: dict[str, Any], line: str, as_json: bool) -> None:
    say(json.dumps(said, indent=2) if as_json else line)
