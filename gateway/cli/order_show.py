"""Answer `orders show`: a study's match and the orders near it, or an order and the studies near it.

HL7 v2.5.1 §4.5.3.2 (OBR-2); decisions D39, D48. The output holds order numbers, and nothing else of a patient. Each use
is recorded in the audit, by ids only, before anything is shown.
Proved by tests/gateway/cli/test_orders.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from gateway.feed.operator.arguments import CommandAnswer, RefusedCommand, Shows, at, id_of, json_of, wrong
from gateway.feed.operator.show import HeldAt, OrderMatch, order_match, order_matches
from gateway.feed.operator.study_decisions import ReadStudy, near_orders, read_study, with_others
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.database.facts import noted
from gateway.store.feed.order_news import order_news_of
from gateway.store.feed.outbox import held_rows_of
from gateway.store.orders.hospital import StoredOrder, orders_by_number
from gateway.store.orders.inbound import present_names
from gateway.store.orders.matches import decision_of, matches_beside
from mappings.hospital.authorities import Authorities
from mappings.hospital.events import IssuedNumber
from mappings.hospital.settle_match import against_decision, without_authority
from mappings.patient.identifiers import fhir_id

_VERB: Final = "orders-show"
_MOST_NEAR: Final = 20


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """Order by its numbers, each with its authority, without its patient and its texts."""

    number: int
    source: str
    state: str
    placer: str | None
    filler: str | None
    accession: str | None
    without_authority: tuple[str, ...]
    message: str | None
    first: datetime
    last: datetime

    def __str__(self) -> str:
        numbers = {"placer": self.placer, "filler": self.filler, "accession": self.accession}
        named = ", ".join(f"{name} {value}" for name, value in numbers.items() if value)
        return f"order {self.number}  {self.state}  {named or 'no number'}, of {self.source}, {at(self.last)}"

    @property
    def line(self) -> str:
        """Line with the order and its numbers, without their authorities."""
        lacking = ", ".join(self.without_authority)
        return str(self) + (f", without authority: {lacking}" if lacking else "")


@dataclass(frozen=True, slots=True)
class NearOrder:
    """Order that shares a number with a study, and what speaks `against` a match."""

    order: ListedOrder
    against: str

    @property
    def said(self) -> dict[str, Any]:
        """The order as JSON."""
        return {**json_of(self.order), "against": self.against}

    def __str__(self) -> str:
        against = f", against it {self.against}" if self.against else ""
        is_bare = "accession" in self.order.without_authority
        return f"{self.order}{against}{', against it: accession without authority' if is_bare else ''}"


@dataclass(frozen=True, slots=True)
class MatchedStudy:
    """Study near an order, with its match; `is_answered`: it answers the order."""

    study_id: str
    is_answered: bool
    match: OrderMatch
    line: str


@dataclass(frozen=True, slots=True)
class StudiesOfOrder(CommandAnswer):
    """Answer of `orders show` for an order: the order with the studies near it."""

    order: ListedOrder
    studies: tuple[MatchedStudy, ...]

    def lines(self) -> Iterator[str]:
        """Yield the order, and a line for each study."""
        yield self.order.line
        for study in self.studies:
            yield f"  {study.study_id}  {'answers it' if study.is_answered else study.line}"


@dataclass(frozen=True, slots=True)
class OperatorDecision:
    """Decision of an operator about a study's orders."""

    decided_as: str = field(metadata={"key": "as"})
    orders: tuple[int, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderNewsAt:
    """News about an order, at a destination that has the study."""

    destination: str
    code: str
    outcome: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """Message refused beside an order, since it is about another patient."""

    order: int
    source: str
    message: str


@dataclass(frozen=True, slots=True)
class OrdersOfStudy(CommandAnswer):
    """Answer of `orders show` for a study: its match, and orders near it; `others_left_out` counts further ones."""

    study_id: str
    match: OrderMatch
    line: str
    decision: OperatorDecision | None
    held: tuple[HeldAt, ...]
    news: tuple[OrderNewsAt, ...]
    orders: tuple[ListedOrder, ...]
    refused: tuple[RefusedMessage, ...]
    others: tuple[NearOrder, ...]
    others_left_out: int

    def lines(self) -> Iterator[str]:
        """Yield the lines: the match, the orders, decisions, news, and refused messages."""
        yield f"{self.study_id}  {self.line}  since {at(self.match.since)}"
        if decision := self.decision:
            orders = ", ".join(f"order {one}" for one in decision.orders)
            yield f"  decided  {decision.decided_as} {orders}".rstrip() + f", {at(decision.at)}"
        for held in self.held:
            yield f"  held     {held.reason} at {held.destination}"
        for news in self.news:
            yield f"  news     {news.code} at {news.destination}, {at(news.at)}: {news.outcome}"
        for order in self.orders:
            yield f"  answers  {order.line}"
        for one in self.refused:
            named = f"message {one.message} of {one.source}"
            yield f"  refused  {named}: about another patient, beside order {one.order}"
        for near in self.others:
            yield f"  near     {near}"
        if self.others_left_out:
            yield f"  {self.others_left_out} more have a number of its patient"


async def show(
    engine: Engine, configuration: Configuration, what: str, reason: str, shows: Shows
) -> OrdersOfStudy | StudiesOfOrder | RefusedCommand:
    """Return a study with its orders, or an order with its studies; refused if there is none, or nothing is known.

    Raises:
        ConfigError: `what` is neither a study nor the number of an order.
        StoreUnavailable: the store cannot be reached; nothing is returned, since the audit could not be written.
    """
    key = id_of(what)
    if not key.startswith("stu_") and not key.isdecimal():
        raise wrong(what, "neither a study nor the number of an order", "`orders list` names studies.")
    argument = key if key.startswith("stu_") else f"order {key}"
    await engine.do(partial(noted, _VERB, argument, reason, micros(clock.now())))
    if key.isdecimal():
        return await _of_order(engine, configuration, int(key), shows) or RefusedCommand(("no such order is stored",))
    found = await _of_study(engine, configuration, key, shows)
    return found or RefusedCommand(("no such study is stored, or no order is known for any",))


async def _of_study(engine: Engine, configuration: Configuration, study_id: str, shows: Shows) -> OrdersOfStudy | None:
    match = (await order_matches(engine, [study_id])).get(study_id)
    study = await read_study(engine, configuration, study_id)
    if match is None or study is None:
        return None
    shows([f"ImagingStudy/{fhir_id(study_id)}"], [study.patient_id])
    decision = await decision_of(engine, study_id)
    answered = await orders_by_number(engine, match.orders)
    others = [one for one in await near_orders(engine, study_id) if one.number not in match.orders]
    news = await order_news_of(engine, [study_id])
    names, authorities = await present_names(engine), Authorities(configuration.site)
    return OrdersOfStudy(
        study_id,
        match,
        str(match),
        None if decision is None else OperatorDecision(decision.decided_as, decision.orders, instant(decision.at)),
        tuple(HeldAt(*one) for one in await held_rows_of(engine, study_id)),
        tuple(OrderNewsAt(one.destination, one.code, one.outcome, instant(one.at)) for one in news),
        tuple(_listed_order(one, names, authorities) for one in answered),
        tuple(
            RefusedMessage(one.order_number, names.get(name.source, name.source), name.control_id)
            for one in study.kept.facts.orders
            for name in one.refused
        ),
        await _others(engine, configuration, study, others),
        max(0, len(others) - _MOST_NEAR),
    )


async def _others(
    engine: Engine, configuration: Configuration, study: ReadStudy, orders: Sequence[StoredOrder]
) -> tuple[NearOrder, ...]:
    """Return the other orders that share a number with the study, and what speaks against each; newest first."""
    newest = sorted(orders, key=lambda one: one.order.last_at, reverse=True)[:_MOST_NEAR]
    near, names = [], await present_names(engine)
    for one in newest:
        known = await with_others(engine, configuration, study.search, [one])
        against = against_decision(study.search, known, [one.number])
        near.append(NearOrder(_listed_order(one, names, known.authorities), against))
    return tuple(near)


async def _of_order(engine: Engine, configuration: Configuration, number: int, shows: Shows) -> StudiesOfOrder | None:
    found = await orders_by_number(engine, [number])
    if not found:
        return None
    beside = await matches_beside(engine, number)
    shows([f"ImagingStudy/{fhir_id(one.study_id)}" for one in beside], [])
    matches = [(one, order_match(one)) for one in beside]
    order = _listed_order(found[0], await present_names(engine), Authorities(configuration.site))
    studies = [MatchedStudy(one.study_id, number in one.orders, match, str(match)) for one, match in matches]
    return StudiesOfOrder(order, tuple(studies))


def _listed_order(stored: StoredOrder, names: Mapping[str, str], authorities: Authorities) -> ListedOrder:
    """Describe an order by its numbers; `names` are those of renamed sources."""
    order = stored.order
    return ListedOrder(
        stored.number,
        names.get(order.source.name, order.source.name),
        order.ended or "open",
        _number(order.placer),
        _number(order.filler),
        _number(order.accession),
        tuple(without_authority(order, authorities)),
        order.content_of.control_id or None,
        order.first_at,
        order.last_at,
    )


def _number(number: IssuedNumber | None) -> str | None:
    if number is None:
        return None
    authority = number.authority.namespace or number.authority.universal_id
    return f"{number.value}^{authority}" if authority else number.value
