"""Carry out `orders show`: a study's match with the orders near it, or an order with the studies near it.

HL7 v2.5.1 §4.5.3.2 (OBR-2); decisions D39, D48. The output holds order numbers, and nothing else of a patient. Each use
is recorded in the audit, by ids only, before anything is shown.
Proved by tests/gateway/cli/test_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from gateway.cli.command_line import Say
from gateway.cli.near_orders import ReadStudy, near_orders, read_study, with_others
from gateway.feed.operator.arguments import Shows, id_of, wrong
from gateway.feed.operator.order_of_study import match_line, match_said
from gateway.ingest.assembly import store_for_command
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text, micros
from gateway.store.database.operator_acts import noted
from gateway.store.feed.order_news import order_news_of
from gateway.store.feed.outbox import held_rows_of
from gateway.store.orders.hospital import StoredOrder, orders_by_number
from gateway.store.orders.inbound import present_names
from gateway.store.orders.matches import decision_of, matches_beside, matches_of
from mappings.hospital.answered import without_authority
from mappings.hospital.authorities import Authorities
from mappings.hospital.events import IssuedNumber
from mappings.hospital.settled import against_decision
from mappings.patient.identifiers import fhir_id

_VERB: Final = "orders-show"
_MOST_NEAR: Final = 20


async def show(  # noqa: PLR0913 (the command's arguments)
    configuration: Configuration, what: str, reason: str, say: Say, shows: Shows, *, as_json: bool = False
) -> int:
    """Show a study or an order; return 1 if there is none, or nothing is known of it.

    Raises:
        ConfigError: `what` is neither a study nor the number of an order.
        StoreUnavailable: the store cannot be reached; nothing is shown, since the audit could not be written.
    """
    key = id_of(what)
    if not key.startswith("stu_") and not key.isdecimal():
        raise wrong(what, "neither a study nor the number of an order", "`orders list` names studies.")
    async with store_for_command(configuration, writes=False) as engine:
        await engine.do(partial(noted, _VERB, key if key.startswith("stu_") else f"order {key}", reason, _now()))
        if key.isdecimal():
            said = await _of_order(engine, configuration, int(key), shows)
        else:
            said = await _of_study(engine, configuration, key, shows)
    if said is None:
        say("no such order is stored" if key.isdecimal() else "no such study is stored, or no order is known for any")
        return 1
    for line in [json.dumps(said, indent=2)] if as_json else _lines(said):
        say(line)
    return 0


def _now() -> int:
    return micros(clock.now())


async def _of_study(engine: Engine, configuration: Configuration, study_id: str, shows: Shows) -> dict[str, Any] | None:
    match = (await matches_of(engine, [study_id])).get(study_id)
    study = await read_study(engine, configuration, study_id)
    if match is None or study is None:
        return None
    shows([f"ImagingStudy/{fhir_id(study_id)}"], [study.patient_id])
    decision = await decision_of(engine, study_id)
    answered = await orders_by_number(engine, match.orders)
    others = [one for one in await near_orders(engine, study_id) if one.number not in match.orders]
    news = await order_news_of(engine, [study_id])
    names, authorities = await present_names(engine), Authorities(configuration.site)
    return {
        "studyId": study_id,
        "match": match_said(match),
        "line": match_line(match),
        "decision": None
        if decision is None
        else {"as": decision.decided_as, "orders": list(decision.orders), "at": instant_text(decision.at)},
        "held": [{"destination": name, "reason": code} for name, code in await held_rows_of(engine, study_id)],
        "news": [
            {"destination": one.destination, "code": one.code, "outcome": one.outcome, "at": instant_text(one.at)}
            for one in news
        ],
        "orders": [_order(one, names, authorities) for one in answered],
        "refused": [
            {"order": one.order_number, "source": names.get(name.source, name.source), "message": name.control_id}
            for one in study.kept.facts.orders
            for name in one.refused
        ],
        "others": await _others(engine, configuration, study, others),
        "othersLeftOut": max(0, len(others) - _MOST_NEAR),
    }


async def _others(
    engine: Engine, configuration: Configuration, study: ReadStudy, orders: Sequence[StoredOrder]
) -> list[dict[str, Any]]:
    """Return other orders with a number of the study, each with what speaks against it; the newest first."""
    newest = sorted(orders, key=lambda one: one.order.last_at, reverse=True)[:_MOST_NEAR]
    said, names = [], await present_names(engine)
    for one in newest:
        known = await with_others(engine, configuration, study.search, [one])
        said.append(
            {**_order(one, names, known.authorities), "against": against_decision(study.search, known, [one.number])}
        )
    return said


async def _of_order(engine: Engine, configuration: Configuration, number: int, shows: Shows) -> dict[str, Any] | None:
    found = await orders_by_number(engine, [number])
    if not found:
        return None
    beside = await matches_beside(engine, number)
    shows([f"ImagingStudy/{fhir_id(one.study_id)}" for one in beside], [])
    studies = [
        {"studyId": one.study_id, "isAnswered": number in one.orders, "match": match_said(one), "line": match_line(one)}
        for one in beside
    ]
    order = _order(found[0], await present_names(engine), Authorities(configuration.site))
    return {"order": order, "studies": studies}


def _order(stored: StoredOrder, names: Mapping[str, str], authorities: Authorities) -> dict[str, Any]:
    """Return an order by its numbers, without its patient and its texts; `names` are those of renamed sources."""
    order = stored.order
    numbers = {"placer": order.placer, "filler": order.filler, "accession": order.accession}
    return {
        "number": stored.number,
        "source": names.get(order.source.name, order.source.name),
        "state": order.ended or "open",
        **{name: _number(one) for name, one in numbers.items()},
        "withoutAuthority": list(without_authority(order, authorities)),
        "message": order.content_of.control_id or None,
        "first": instant_text(micros(order.first_at)),
        "last": instant_text(micros(order.last_at)),
    }


def _number(number: IssuedNumber | None) -> str | None:
    if number is None:
        return None
    authority = number.authority.namespace or number.authority.universal_id
    return f"{number.value}^{authority}" if authority else number.value


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for a person."""
    if "order" in said:
        lacking = ", ".join(said["order"]["withoutAuthority"])
        yield _order_line(said["order"]) + (f", without authority: {lacking}" if lacking else "")
        for study in said["studies"]:
            yield f"  {study['studyId']}  {'answers it' if study['isAnswered'] else study['line']}"
        return
    yield f"{said['studyId']}  {said['line']}  since {said['match']['since']}"
    if decision := said["decision"]:
        orders = ", ".join(f"order {one}" for one in decision["orders"])
        yield f"  decided  {decision['as']} {orders}".rstrip() + f", {decision['at']}"
    for held in said["held"]:
        yield f"  held     {held['reason']} at {held['destination']}"
    for news in said["news"]:
        yield f"  news     {news['code']} at {news['destination']}, {news['at']}: {news['outcome']}"
    for order in said["orders"]:
        lacking = ", ".join(order["withoutAuthority"])
        yield f"  answers  {_order_line(order)}" + (f", without authority: {lacking}" if lacking else "")
    for one in said["refused"]:
        named = f"message {one['message']} of {one['source']}"
        yield f"  refused  {named}: about another patient, beside order {one['order']}"
    for order in said["others"]:
        against = f", against it {order['against']}" if order["against"] else ""
        against += ", against it: accession without authority" if "accession" in order["withoutAuthority"] else ""
        yield f"  near     {_order_line(order)}{against}"
    if said["othersLeftOut"]:
        yield f"  {said['othersLeftOut']} more have a number of its patient"


def _order_line(order: Mapping[str, Any]) -> str:
    numbers = ", ".join(f"{name} {order[name]}" for name in ("placer", "filler", "accession") if order[name])
    return f"order {order['number']}  {order['state']}  {numbers or 'no number'}, of {order['source']}, {order['last']}"
