"""Carry out `orders list`, `orders match` and `orders release`: see how studies were matched, and decide about one.

Carries out no clause of a standard; decisions D12, D48. A decision is kept in the database, and the running service
ingests the study again.
Proved by tests/gateway/cli/test_orders.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from gateway.cli.near_orders import read_study, with_others
from gateway.feed.operator.arguments import CommandAnswer, at, counted, id_of, json_of, typed_instant, wrong
from gateway.feed.operator.show import OrderMatch, order_match
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.command_words import OrderState
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, micros
from gateway.store.database.facts import noted
from gateway.store.feed.order_news import not_sent_again
from gateway.store.feed.outbox import held_studies
from gateway.store.feed.states import ORDER_AWAITED, WRONG_VISIT
from gateway.store.orders.hospital import orders_by_number
from gateway.store.orders.matches import DecidedAs, StoredDecision, StoredMatch, decide, matches_of, matches_with
from mappings.hospital.match import REASONS, Verdict
from mappings.hospital.settle_match import against_decision, left_out

_UNMATCHED: Final[tuple[Verdict, ...]] = ("held", "refused", "none")
_IN_PART: Final = "group-in-part"
_TOGETHER: Final = "Orders of one patient under one accession number are answered together. Name"
_Places: TypeAlias = dict[str, list[str]]
_SERVICE: Final = "the running service ingests it again"


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Arguments of `orders list`: matches of one state (or all without an order), standing since an instant."""

    state: OrderState | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True)
class ListedMatch:
    """Match of a study; where a message waits for its order; where it was sent with another patient's visit."""

    study_id: str
    match: OrderMatch
    waits_at: tuple[str, ...]
    wrong_visit_at: tuple[str, ...]

    @property
    def said(self) -> dict[str, Any]:
        """The match as JSON."""
        places = {"waitsAt": list(self.waits_at), "wrongVisitAt": list(self.wrong_visit_at)}
        return {"studyId": self.study_id, **json_of(self.match), **places}

    def __str__(self) -> str:
        places = _at("; waits at", self.waits_at) + _at("; another patient's visit was sent to", self.wrong_visit_at)
        return f"{self.study_id}  {self.match}  since {at(self.match.since)}{places}"


@dataclass(frozen=True, slots=True)
class ListedMatches(CommandAnswer):
    """Answer of `orders list`: matches of studies, only ids and codes."""

    matches: tuple[ListedMatch, ...]

    @property
    def document(self) -> Any:
        """The matches as a JSON list."""
        return json_of(self.matches)

    def lines(self) -> Iterator[str]:
        """Yield a line for each study, and their number."""
        yield from map(str, self.matches)
        yield counted(len(self.matches), "study")


async def list_orders(engine: Engine, configuration: Configuration, request: ListRequest) -> ListedMatches:
    """Return the requested matches.

    Raises:
        ConfigError: `--since` is no instant.
        StoreUnavailable: the store cannot be reached.
    """
    since = micros(typed_instant("--since", request.since, configuration.zone)) if request.since else 0
    now, argument = micros(clock.now()), f"{request.state or 'unmatched'} since {since}"
    await engine.do(partial(noted, "orders-list", argument, "", now))
    waiting = await _waiting(engine, configuration)
    wrong = await _wrong(engine, configuration, since)
    found = [one async for one in _found(engine, request.state, since, waiting, wrong)]
    return ListedMatches(
        tuple(
            ListedMatch(
                one.study_id,
                order_match(one),
                tuple(waiting.get(one.study_id, ())),
                tuple(wrong.get(one.study_id, ())),
            )
            for one in found
        )
    )


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
    """Return the studies of which a message waits for an order, and the destinations where it waits."""
    waiting: _Places = {}
    for destination in routes_of(configuration).destinations:
        for study_id in await held_studies(engine, destination.name, ORDER_AWAITED):
            waiting.setdefault(study_id, []).append(destination.name)
    return waiting


async def _wrong(engine: Engine, configuration: Configuration, since: int) -> _Places:
    """Return the studies sent with another patient's visit, and the destinations not corrected since."""
    wrong: _Places = {}
    for destination in routes_of(configuration).destinations:
        for study_id in await not_sent_again(engine, destination.name, WRONG_VISIT, since):
            wrong.setdefault(study_id, []).append(destination.name)
    return wrong


def _at(words: str, names: Sequence[str]) -> str:
    return f"{words} {', '.join(names)}" if names else ""


@dataclass(frozen=True, slots=True)
class DecidedOrders(CommandAnswer):
    """Answer of `orders match|release`: the study has these orders, or none."""

    study_id: str
    decision: DecidedAs
    orders: tuple[int, ...]

    def lines(self) -> Iterator[str]:
        """Yield what was decided."""
        does = f"answers {_orders(self.orders)}" if self.decision == "match" else "goes without an order"
        yield f"{self.study_id} {does}: {_SERVICE}"


@dataclass(frozen=True, slots=True)
class RefusedMatch(CommandAnswer):
    """Answer of a refused `orders match`; `left_out` are orders of the same group that were not named."""

    study_id: str
    orders: tuple[int, ...]
    refused: str
    left_out: tuple[int, ...]

    @property
    def exit_code(self) -> int:
        """Always 1."""
        return 1

    def lines(self) -> Iterator[str]:
        """Yield the reason."""
        is_in_part = self.refused == _IN_PART
        sentence = f"{_TOGETHER} {_orders(self.left_out)} too." if is_in_part else REASONS[self.refused].sentence
        yield f"refused ({self.refused}): {sentence} Nothing was decided."


async def match_orders(
    engine: Engine, configuration: Configuration, study_id: str, numbers: Sequence[int], reason: str
) -> DecidedOrders | RefusedMatch:
    """Decide that a study answers these orders; refused if it must not, such as for another patient's order.

    Raises:
        ConfigError: the study, or an order, is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    study_id, numbers = id_of(study_id), tuple(dict.fromkeys(numbers))
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
        return RefusedMatch(study_id, numbers, refusal or _IN_PART, tuple(others))
    return await _decided(engine, StoredDecision(study_id, "match", numbers, reason, micros(clock.now())))


async def release(engine: Engine, study_id: str, reason: str) -> DecidedOrders:
    """Decide that a study goes without an order, and waits for none.

    Raises:
        ConfigError: the study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    return await _decided(engine, StoredDecision(id_of(study_id), "release", (), reason, micros(clock.now())))


async def _decided(engine: Engine, decision: StoredDecision) -> DecidedOrders:
    if not await engine.do(partial(decide, decision)):
        gone = "no such study is stored, or the order is stored no more"
        raise wrong(decision.study_id, gone, "`orders list` names those without an order.")
    return DecidedOrders(decision.study_id, decision.decided_as, decision.orders)


def _orders(numbers: Sequence[int]) -> str:
    return ", ".join(f"order {one}" for one in numbers)
