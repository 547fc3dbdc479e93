"""Decide about a study which order of the hospital it answers, and of which patient it is; list what is undecided.

HL7 v2.5.1 §4.5.3.2 (OBR-2); decisions D12, D48. A decision is kept in the database, and the study is ingested again.
With `dry_run` a decision is foreseen: it is tried, and nothing of it stays.
Proved by tests/gateway/cli/test_orders.py and tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from gateway.feed.operator.arguments import (
    CommandAnswer,
    RefusedCommand,
    at,
    counted,
    id_of,
    json_of,
    typed_instant,
    wrong,
)
from gateway.feed.operator.show import OrderMatch, order_match, order_matches
from gateway.ingest.assembly import order_days, pipeline_of
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.command_words import OrderState
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration
from gateway.store import intake
from gateway.store.database.engine import Engine, micros
from gateway.store.database.facts import noted
from gateway.store.database.kept import Kept, kept
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.enrichment import told_numbers
from gateway.store.feed.order_news import not_sent_again
from gateway.store.feed.outbox import held_studies, tried
from gateway.store.feed.states import ORDER_AWAITED, WRONG_VISIT
from gateway.store.orders.hospital import StoredOrder, connected, orders_by_number, orders_of_keys
from gateway.store.orders.inbound import present_names, under_first_names
from gateway.store.orders.matches import (
    UNMATCHED,
    DecidedAs,
    StoredDecision,
    StoredMatch,
    matches_of,
    matches_with,
)
from gateway.store.orders.matches import decide as keep_decision
from gateway.store.orders.numbers import OF_STUDY, changes_of, merges_of
from gateway.store.studies import identities
from gateway.store.studies.identities import StoredIdentity
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.match import REASONS, OrderSearch, order_search
from mappings.hospital.settle_match import NumberedOrders, against_decision, left_out
from mappings.patient.identifiers import upstream_id
from mappings.patient.subjects import subjects

_IN_PART: Final = "group-in-part"
_TOGETHER: Final = "Orders of one patient under one accession number are answered together. Name"
_Places: TypeAlias = dict[str, list[str]]
_SERVICE: Final = "the running service ingests it again"
_CHOOSE: Final = "Name the orders that the study answers, by their numbers. Those near it are:"
_MOST_NEAR: Final = 20


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
    for verdict in UNMATCHED if state is None else (state,):
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


@dataclass(frozen=True, slots=True)
class ForeseenDecision(CommandAnswer):
    """Decision as it would be, and what is `now` known about the study."""

    decided: CommandAnswer
    now: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield the decision, and what is known now."""
        yield from self.decided.lines()
        yield from (f"now: {one}" for one in self.now)


async def foresee_match(
    engine: Engine, configuration: Configuration, study_id: str, numbers: Sequence[int]
) -> ForeseenDecision | RefusedCommand:
    """Foresee `match_orders`; refused as it is, and without orders, then with those near the study.

    Raises:
        ConfigError: the study, or an order, is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    if not numbers:
        return RefusedCommand((_CHOOSE, *[one async for one in _near_lines(engine, configuration, id_of(study_id))]))
    decided = await match_orders(engine, configuration, study_id, numbers, "", dry_run=True)
    if isinstance(decided, RefusedMatch):
        return RefusedCommand(tuple(decided.lines()))
    return ForeseenDecision(decided, await _match_now(engine, study_id))


async def foresee_release(engine: Engine, study_id: str) -> ForeseenDecision:
    """Foresee `release`.

    Raises:
        ConfigError: the study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    return ForeseenDecision(await release(engine, study_id, "", dry_run=True), await _match_now(engine, study_id))


async def _match_now(engine: Engine, study_id: str) -> tuple[str, ...]:
    return tuple(map(str, (await order_matches(engine, [id_of(study_id)])).values()))


async def _near_lines(engine: Engine, configuration: Configuration, study_id: str) -> AsyncIterator[str]:
    """Yield a line for each of the newest orders near a study, by the gateway's numbers, and what is against each."""
    study, names = await read_study(engine, configuration, study_id), await present_names(engine)
    if study is None:
        return
    orders = await near_orders(engine, study_id)
    for one in sorted(orders, key=lambda one: one.order.last_at, reverse=True)[:_MOST_NEAR]:
        known = await with_others(engine, configuration, study.search, [one])
        against = against_decision(study.search, known, [one.number])
        source = names.get(one.order.source.name, one.order.source.name)
        line = f"order {one.number}  {one.order.ended or 'open'}, of {source}, {at(one.order.last_at)}"
        yield f"{line}, against it {against}" if against else line


async def match_orders(  # noqa: PLR0913 (what a match is)
    engine: Engine,
    configuration: Configuration,
    study_id: str,
    numbers: Sequence[int],
    reason: str,
    *,
    dry_run: bool = False,
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
    decision = StoredDecision(study_id, "match", numbers, reason, micros(clock.now()))
    return await _decided(engine, decision, dry_run=dry_run)


async def release(engine: Engine, study_id: str, reason: str, *, dry_run: bool = False) -> DecidedOrders:
    """Decide that a study goes without an order, and waits for none.

    Raises:
        ConfigError: the study is not stored.
        StoreUnavailable: the store cannot be reached.
    """
    decision = StoredDecision(id_of(study_id), "release", (), reason, micros(clock.now()))
    return await _decided(engine, decision, dry_run=dry_run)


async def _decided(engine: Engine, decision: StoredDecision, *, dry_run: bool) -> DecidedOrders:
    work = partial(keep_decision, decision)
    if not await (tried(engine, work) if dry_run else engine.do(work)):
        gone = "no such study is stored, or the order is stored no more"
        raise wrong(decision.study_id, gone, "`orders list` names those without an order.")
    return DecidedOrders(decision.study_id, decision.decided_as, decision.orders)


def _orders(numbers: Sequence[int]) -> str:
    return ", ".join(f"order {one}" for one in numbers)


@dataclass(frozen=True, slots=True)
class ReadStudy:
    """Stored study with the id of its own patient, and the `search` for its order."""

    kept: Kept
    patient_id: str
    search: OrderSearch


async def read_study(engine: Engine, configuration: Configuration, study_id: str) -> ReadStudy | None:
    """Read a stored study; None if there is none.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(intake.KEPT, study_ids=json.dumps([study_id]))
    if not rows:
        return None
    known = kept(bytes(rows[0][2]))
    subject = subjects(known.study, known.study.reports, configuration.site, known.facts)[study_id]
    told = await told_numbers(engine, known.study.study_instance_uid or "")
    search = order_search(known.study, subject, Authorities(configuration.site), known.facts, told)
    return ReadStudy(known, subject.identity.patient_id, search)


async def near_orders(engine: Engine, study_id: str) -> list[StoredOrder]:
    """Return the orders that share a number with the study, even if only the patient's."""
    keys = [str(key) for (key,) in await engine.fetch(OF_STUDY, study_id=study_id)]
    return await orders_of_keys(engine, keys) if keys else []


async def with_others(
    engine: Engine, configuration: Configuration, search: OrderSearch, orders: Iterable[StoredOrder]
) -> NumberedOrders:
    """Read what decides if a study may match these orders: their groups, other sources' records, and merges.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    authorities = Authorities(configuration.site)
    known = {one.number: one.order for one in (await connected(engine, (), orders, authorities))[1]}
    theirs = [
        number
        for order in known.values()
        for number in authorities.patient_numbers(order.patient.numbers, order.source)
    ]
    types = {number.type_code for number in theirs}
    ours = [HospitalNumber("patient", system, one, value) for system, value in search.patient_numbers for one in types]
    changes = await changes_of(engine, [*theirs, *ours])
    days = await under_first_names(engine, order_days(configuration))
    return NumberedOrders(known, authorities, merges_of(changes), days)


@dataclass(frozen=True, slots=True)
class Identities(CommandAnswer):
    """Answer of `identity list`: conflicts and decisions, only by ids."""

    identities: tuple[StoredIdentity, ...]

    def lines(self) -> Iterator[str]:
        """Yield a line for each, and the counts."""
        for one in self.identities:
            yield f"Patient/{one.patient_id}  {one.study_id}  {one.state}  since {one.since:%Y-%m-%d %H:%M} UTC"
        apart = sum(one.state == "held apart" for one in self.identities)
        yield f"{apart} studies are held apart from a patient that they name"
        if several := {one.study_id for one in self.identities if one.state == "contradicted"}:
            yield f"{len(several)} studies have reports about several people"


@dataclass(frozen=True, slots=True)
class IdentityVerdict(CommandAnswer):
    """Answer of `identity link|separate`: a study is about a patient, or not; `versions` counts changed resources.

    It is None while the decision is only foreseen.
    """

    study_id: str
    patient_id: str
    verdict: Literal["link", "separate"]
    versions: int | None

    def lines(self) -> Iterator[str]:
        """Yield the decision."""
        how = "belongs to" if self.verdict == "link" else "is kept apart from"
        versions = "" if self.versions is None else f": {self.versions} new versions"
        yield f"{self.study_id} {how} Patient/{self.patient_id}{versions}"


async def list_identities(engine: Sqlite | Postgres) -> Identities:
    """Return every identity conflict and decision."""
    return Identities(tuple(await identities.every(engine)))


async def decide(  # noqa: PLR0913, PLR0917 (what a verdict is)
    engine: Sqlite | Postgres,
    configuration: Configuration,
    verdict: Literal["link", "separate"],
    patient_id: str,
    study_id: str,
    reason: str,
) -> IdentityVerdict:
    """Record the decision that a study is (`link`) or is not (`separate`) about a patient that it names.

    Raises:
        ConfigError: the study is not stored, or names no such patient.
    """
    patient_id, study_id = await _named_patient(engine, patient_id, study_id)
    await identities.decide(engine, patient_id, study_id, verdict, reason, clock.now())
    ingested = await pipeline_of(configuration, engine).refresh(study_id)
    return IdentityVerdict(study_id, patient_id, verdict, len(ingested.written) if ingested else 0)


async def foresee_verdict(
    engine: Sqlite | Postgres, verdict: Literal["link", "separate"], patient_id: str, study_id: str
) -> ForeseenDecision:
    """Foresee `decide`, apart from the number of changed resources.

    Raises:
        ConfigError: the study is not stored, or names no such patient.
    """
    patient_id, study_id = await _named_patient(engine, patient_id, study_id)
    known = tuple(one for one in await identities.every(engine) if one.study_id == study_id)
    verdicts = IdentityVerdict(study_id, patient_id, verdict, None)
    return ForeseenDecision(verdicts, tuple(f"Patient/{one.patient_id} {one.state}" for one in known))


async def _named_patient(engine: Engine, patient_id: str, study_id: str) -> tuple[str, str]:
    """Return the ids of a patient and of a study that names the patient.

    Raises:
        ConfigError: the study is not stored, or names no such patient.
    """
    patient_id, study_id = patient_id.removeprefix("Patient/"), upstream_id(study_id) or study_id
    named = await identities.named(engine, study_id)
    if patient_id not in named:
        problem = "the study does not name this patient" if named else "no such study is stored"
        remedy = "`identity list` names some; a report's subject names the patient of any other."
        raise ConfigError("command line", patient_id if named else study_id, problem, remedy)
    return patient_id, study_id
