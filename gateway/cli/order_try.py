"""Carry out `orders try`: process a message as its source's listener would, show the effect, and roll everything back.

HL7 v2.5.1 §2.9.2 (acknowledgements), decisions D39, D48. The message takes the way of every other one: it is stored,
applied, and the studies with one of its numbers are matched, all in one transaction, which is taken back in the end.
Each use is recorded in the audit before anything is shown, since the output holds patient data.
Proved by tests/gateway/cli/test_order_try.py.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeVar, cast

from gateway.feed.operator.arguments import Say, Shows, wrong
from gateway.feed.operator.study_decisions import read_study, with_others
from gateway.ingest.assembly import order_days, store_for_command
from gateway.ingest.meet_orders import meet_orders, merged_of, wanted_orders
from gateway.ingest.orders.apply_loop import Applying, MessageWork
from gateway.ingest.orders.apply_orders import found_by
from gateway.ingest.orders.arrival import MoreLocks
from gateway.ingest.orders.inbox import ANSWERS, MOST_BYTES, Outcome, is_acknowledgement, new_inbound, outcome_of
from gateway.ingest.orders.sources import HospitalSource, sources_of
from gateway.mllp.framing import START_BLOCK, Decoder, Frame
from gateway.runtime import clock
from gateway.runtime.errors import StoreError
from gateway.runtime.log import code_of
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration
from gateway.store.database import locks
from gateway.store.database.engine import Ask, Engine, Row, Statement, Steps, ask, micros
from gateway.store.database.facts import noted
from gateway.store.database.kept import compressed
from gateway.store.orders.hospital import OrderReader, StoredOrder, orders_with
from gateway.store.orders.inbound import (
    SettledMessage,
    WaitingMessage,
    add_message,
    first_names,
    source_lock,
    under_first_names,
)
from gateway.store.orders.matches import matches_of
from gateway.store.orders.numbers import lock_names, record_text, studies_with
from mappings.hl7v2.inbound import KeyKind, read_hospital_message
from mappings.hl7v2.received import Received, Unreadable, read
from mappings.hospital.authorities import ORDER_NUMBER_KINDS, Authorities
from mappings.hospital.events import HospitalMessage, IssuedNumber, OrderEvent
from mappings.hospital.match import REASONS
from mappings.hospital.settle_match import against_decision
from mappings.life.changes import Change
from mappings.patient.identifiers import fhir_id

_VERB: Final = "orders-try"
_MOST_STUDIES: Final = 20
_ONE: Final = "Write one message into the file, from MSH to its last segment."
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TryRequest:
    """Arguments of `orders try`, as typed: the message file, the source's name, and the reason."""

    file: Path
    source: str | None = None
    reason: str = ""


class _MatchThen(NamedTuple):
    """Match of a study before and after the message, and what speaks against its orders."""

    study_id: str
    patient_id: str
    before: str
    after: str
    orders: tuple[int, ...]
    keys: tuple[str, ...]
    against: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Found:
    """Effect of a message: its outcome, the orders with its numbers before and after, and the studies concerned."""

    settled: SettledMessage | None = None
    before: tuple[StoredOrder, ...] = ()
    after: tuple[StoredOrder, ...] = ()
    studies: tuple[_MatchThen, ...] = ()
    left_out: int = 0


class _TakenBack(Exception):
    """Signal that rolls the transaction back. `found` is the effect, or the locks that are needed first."""

    def __init__(self, found: _Found | MoreLocks) -> None:
        self.found = found
        super().__init__("taken back")


class _Step(Awaitable[Result]):
    """Step of a transaction that a coroutine can await."""

    def __init__(self, steps: Steps[Result]) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Result]:
        return (yield from self._steps)


class _Within:
    """Engine whose `fetch` reads inside the transaction, and so finds what the transaction wrote."""

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Return the rows of a statement."""
        return await _Step(ask(statement, **values))


_WITHIN: Final = cast(Engine, _Within())


def _within(reading: Coroutine[Ask, Any, Result]) -> Steps[Result]:
    """Run a coroutine that reads through `_WITHIN` as steps of the transaction."""
    return (yield from reading.__await__())


@dataclass(frozen=True, slots=True)
class _Trial:
    """Message to try, with its source and the site's settings, in a transaction that is rolled back."""

    configuration: Configuration
    source: HospitalSource
    payload: bytes
    received: Received
    message: HospitalMessage
    authorities: Authorities
    applying: Applying
    at: int = field(default_factory=lambda: micros(clock.now()))

    async def found(self, engine: Engine) -> _Found:
        """Apply the message and return the effect.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        locked = frozenset[str]()
        while True:
            try:
                await engine.do(partial(self._steps, locked))
            except _TakenBack as end:
                if isinstance(end.found, _Found):
                    return end.found
                locked |= end.found.keys

    def _steps(self, locked: frozenset[str]) -> Steps[NoReturn]:
        new = new_inbound(self.source, self.message, self.payload, self.received)
        body = compressed("inbound", self.payload if new.kept is None else new.kept)
        locked |= self.applying.work(WaitingMessage(0, self.at, body)).subjects
        yield from locks.take([source_lock(self.source.stored_name), *lock_names(locked)])
        number = yield from add_message(new, self.at)
        if number is None:
            raise _TakenBack(_Found())
        work = self.applying.work(WaitingMessage(number, self.at, body))
        before = yield from orders_with(work.subjects)
        try:
            done = yield from self.applying.applied_here([work], locked)
        except StoreError:
            raise
        except Exception as error:  # a fault of the gateway, for which the message would be kept as failed
            raise _TakenBack(_Found(SettledMessage("failed", code_of(error)))) from error
        if isinstance(done, MoreLocks):
            raise _TakenBack(done)
        after = yield from orders_with(work.subjects)
        raise _TakenBack((yield from self._of_studies(work, done[0], before, after)))

    def _of_studies(
        self, work: MessageWork, settled: SettledMessage, before: Sequence[StoredOrder], after: Sequence[StoredOrder]
    ) -> Steps[_Found]:
        keys = set(work.subjects)
        for one in (*before, *after):
            keys |= {*found_by(one.order, self.authorities), record_text(one.number)}
        study_ids = yield from studies_with(keys)
        studies = yield from _within(self._matched_each(study_ids[:_MOST_STUDIES], after))
        left_out = max(0, len(study_ids) - _MOST_STUDIES)
        return _Found(settled, tuple(before), tuple(after), studies, left_out)

    async def _matched_each(self, study_ids: Sequence[str], after: Sequence[StoredOrder]) -> tuple[_MatchThen, ...]:
        found = [await self._matched(study_id, after) for study_id in study_ids]
        return tuple(one for one in found if one is not None)

    async def _matched(self, study_id: str, after: Sequence[StoredOrder]) -> _MatchThen | None:
        """Match a study, as its next ingest would."""
        site, study = self.configuration.site, await read_study(_WITHIN, self.configuration, study_id)
        if study is None:
            return None
        stored = (await matches_of(_WITHIN, [study_id])).get(study_id)
        known, facts = study.kept.study, study.kept.facts
        wanted = wanted_orders(known, known, facts, study.search.told, site)
        days = await under_first_names(_WITHIN, order_days(self.configuration))
        reader = OrderReader(_WITHIN, self.authorities, days)
        state = await reader.by_keys(study_id, wanted.keys, study.search.told)
        facts = replace(facts, merged=merged_of(state, (known,), facts.old_numbers, site))
        _, met = meet_orders(Change(known, ()), facts, state, site, clock.now())
        verdict = met.write.match if met else state.match
        against = {}
        for one in after:
            others = await with_others(_WITHIN, self.configuration, study.search, [one])
            against[one.number] = against_decision(study.search, others, [one.number])
        return _MatchThen(
            study_id,
            study.patient_id,
            _verdict(stored.verdict, stored.reason) if stored else "not matched yet",
            _verdict(verdict.verdict, verdict.reason),
            verdict.orders,
            tuple(" ".join(filter(None, key)) for key in study.search.keys),
            against,
        )


async def try_message(
    configuration: Configuration, request: TryRequest, say: Say, shows: Shows, *, as_json: bool = False
) -> int:
    """Show what a message says and what it would change; always return 0.

    Raises:
        ConfigError: the file has no message or several, or the source is not known.
        StoreUnavailable: the store cannot be reached; nothing is shown, since the audit could not be written.
    """
    payload, received = _one_message(request.file)
    async with store_for_command(configuration, writes=False) as engine:
        source = await _source(engine, configuration, request.source)
        await engine.do(partial(noted, _VERB, f"a message of {source.name}", request.reason, micros(clock.now())))
        message = read_hospital_message(received, source.rules)
        outcome: Outcome = "acknowledgement" if is_acknowledgement(received) else outcome_of(message)
        authorities, found = Authorities(configuration.site), _Found()
        if outcome == "stored":
            applying = Applying(source, authorities, engine, Metrics())
            trial = _Trial(configuration, source, payload, received, message, authorities, applying)
            found = await trial.found(engine)
            outcome = "stored" if found.settled else "duplicate"
    shows([f"ImagingStudy/{fhir_id(one.study_id)}" for one in found.studies], [one.patient_id for one in found.studies])
    said = {**_read(message, source, authorities), **_result(outcome, source), **_effect(found, authorities)}
    for line in [json.dumps(said, indent=2)] if as_json else _lines(said):
        say(line)
    return 0


def _one_message(file: Path) -> tuple[bytes, Received]:
    """Return the one message in a file, with or without MLLP framing."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise wrong("FILE", f"cannot be read: {error.strerror}", "Name a file with one HL7 v2 message.") from None
    if len(data) > MOST_BYTES:
        raise wrong("FILE", "larger than 16 MiB, which no source takes", _ONE)
    if START_BLOCK in data:
        frames = [one.payload for one in Decoder(MOST_BYTES).feed(data) if isinstance(one, Frame)]
        if len(frames) != 1:
            raise wrong("FILE", f"it has {len(frames)} whole MLLP blocks, and not one", _ONE)
        [data] = frames
    if data.lstrip()[:3] in {b"FHS", b"BHS"}:
        raise wrong("FILE", "a batch of messages", _ONE)
    try:
        received = read(data)
    except Unreadable as error:
        raise wrong("FILE", f"no HL7 v2 message: {error}", _ONE) from None
    if (count := sum(one.name == "MSH" for one in received.segments)) > 1:
        raise wrong("FILE", f"it has {count} messages", _ONE)
    return data, received


async def _source(engine: Engine, configuration: Configuration, name: str | None) -> HospitalSource:
    """Find the source of that name (or the only one), under its first name.

    Raises:
        ConfigError: there is none, or no name was given and there are several.
    """
    known = {one.name: one for one in sources_of(configuration)}
    if not known:
        raise wrong("--source", "the settings have no [[source]]", "Write the table of the source: docs/orders.md.")
    if name is None and len(known) > 1:
        raise wrong("--source", "missing, and the settings have several", f"Write one of {', '.join(known)}.")
    found = next(iter(known.values())) if name is None else known.get(name)
    if found is None:
        raise wrong("--source", "no [[source]] has this name", f"Write one of {', '.join(known)}.")
    return found.as_stored(await first_names(engine))


def _read(message: HospitalMessage, source: HospitalSource, authorities: Authorities) -> dict[str, Any]:
    """Describe what the gateway reads from a message."""
    number = partial(_number, source=source, authorities=authorities)
    patient, visit = message.patient, message.visit
    return {
        "message": {"structure": message.structure, "controlId": message.control_id, "source": source.name},
        "patient": {
            "name": ", ".join(filter(None, (patient.family, f"{patient.given} {patient.middle}".strip()))),
            "born": patient.born,
            "sex": patient.sex,
            "numbers": [number("patient", one) for one in patient.numbers],
            "account": number("account", patient.account),
        },
        "visit": None
        if visit is None
        else {
            "class": visit.patient_class,
            "location": "^".join(visit.location),
            "number": number("visit", visit.number),
        },
        "orders": [_order_read(one, number) for one in message.orders],
        "merges": [
            {"kind": one.kind, "prior": number(one.kind, one.prior), "surviving": number(one.kind, one.surviving)}
            for one in message.changes
        ],
        "issues": [f"{one.code} at {one.place}" for one in message.issues],
    }


def _order_read(order: OrderEvent, number: Any) -> dict[str, Any]:
    return {
        "control": order.control,
        "effect": order.effect,
        "section": order.section,
        "procedure": order.procedure.text or order.procedure.code,
        **{kind: number(kind, getattr(order, kind)) for kind in ORDER_NUMBER_KINDS},
        "studyUids": list(order.study_uids),
        "indication": list(order.indication),
        "notes": list(order.notes),
    }


def _number(
    kind: KeyKind, number: IssuedNumber | None, *, source: HospitalSource, authorities: Authorities
) -> dict[str, Any] | None:
    """Describe a number: its authority in the message, and the key under which it is stored; empty if it is none."""
    if number is None:
        return None
    named = number.named or number.authority
    said = "&".join(filter(None, (named.namespace, named.universal_id, named.universal_id_type)))
    if kind in ORDER_NUMBER_KINDS:
        key = authorities.order_key(kind, number, source.order_source)
        system = key.authority if key else ""
    else:
        system = authorities.number(kind, number, source.order_source).authority  # type: ignore[arg-type]
    whose = [
        one.name
        for one in dict.fromkeys(authorities.site.facilities.values())
        if system in _systems(kind, one, authorities)
    ]
    return {"value": number.value, "type": number.type_code, "named": said, "system": system, "facilities": whose}


def _systems(kind: KeyKind, facility: Any, authorities: Authorities) -> set[str]:
    if kind in ORDER_NUMBER_KINDS:
        return {authorities.system_of(kind, facility)} - {""}
    issuers = (facility.mrn, facility.external_patient_id) if kind == "patient" else ()
    return {one.system for one in issuers if one is not None}


def _result(outcome: Outcome, source: HospitalSource) -> dict[str, Any]:
    """Describe the answer that the sender would get."""
    rejects = outcome == "not-listed" and source.rejects_unlisted
    letter = "" if outcome == "acknowledgement" else "R" if rejects else ANSWERS[outcome].letter
    return {"outcome": outcome, "answer": f"A{letter}" if letter else None}


def _effect(found: _Found, authorities: Authorities) -> dict[str, Any]:
    """Describe what would be stored and matched."""
    before = {one.number: one for one in found.before}
    new = [one.number for one in found.after if one.number not in before]
    names = {number: f"order {number}" if number in before else "the new order" for number in [*before, *new]}
    if len(new) > 1:
        names |= {number: f"new order {count}" for count, number in enumerate(new, 1)}
    return {
        "settled": None if found.settled is None else {"state": found.settled.state, "code": found.settled.code},
        "stored": [
            {
                "order": names[one.number],
                "change": _change(before.get(one.number), one),
                "state": one.order.ended or "open",
            }
            for one in found.after
        ],
        "studies": [
            {
                "studyId": one.study_id,
                "before": one.before,
                "after": one.after,
                "orders": [names.get(number, f"order {number}") for number in one.orders],
                "keys": list(one.keys),
                "against": {names[number]: REASONS[code].sentence for number, code in one.against.items() if code},
            }
            for one in found.studies
        ],
        "studiesLeftOut": found.left_out,
    }


def _change(before: StoredOrder | None, after: StoredOrder) -> str:
    if before is None:
        return "new"
    return "unchanged" if before.revision == after.revision else "changed"


def _verdict(verdict: str, reason: str) -> str:
    return f"{verdict} ({reason}): {REASONS[reason].sentence}" if reason in REASONS else verdict


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for a person."""
    message, patient, visit = said["message"], said["patient"], said["visit"]
    answer = f"answered {said['answer']}" if said["answer"] else "not answered"
    yield f"message  {message['structure']} of {message['source']}, MSH-10 {message['controlId'] or 'empty'}"
    yield f"patient  {patient['name'] or 'no name'}, {patient['born'] or 'no birth date'}, {patient['sex'] or 'no sex'}"
    for name, numbers in (("number", patient["numbers"]), ("account", [patient["account"]])):
        yield from _number_lines(name, numbers)
    if visit:
        yield f"visit    {visit['class'] or 'no class'} {visit['location']}".rstrip()
        yield from _number_lines("number", [visit["number"]])
    for order in said["orders"]:
        words = f"{order['control'] or 'no ORC-1'} ({order['effect']})", order["section"], order["procedure"]
        yield f"order    {' '.join(filter(None, words))}"
        for kind in ORDER_NUMBER_KINDS:
            yield from _number_lines(kind, [order[kind]])
        yield from [f"  study UID  {one}" for one in order["studyUids"]]
        yield from [f"  text       {one}" for one in (*order["indication"], *order["notes"])]
    for merge in said["merges"]:
        yield f"merge    {merge['kind']}"
        yield from _number_lines("prior", [merge["prior"]])
        yield from _number_lines("surviving", [merge["surviving"]])
    yield from [f"issue    {one}" for one in said["issues"]]
    yield f"outcome  {said['outcome']}, {answer}"
    yield from _effect_lines(said)
    yield "Nothing of it was stored."


def _effect_lines(said: Mapping[str, Any]) -> Iterator[str]:
    if settled := said["settled"]:
        yield f"applied  {settled['state']}{' (' + settled['code'] + ')' if settled['code'] else ''}"
    yield from [f"stored   {one['order']}: {one['change']}, {one['state']}" for one in said["stored"]]
    for study in said["studies"]:
        yield f"study    {study['studyId']}"
        yield f"  now        {study['before']}"
        yield f"  then       {study['after']}{' ' if study['orders'] else ''}{', '.join(study['orders'])}"
        yield from [f"  its key    {one}" for one in study["keys"]] or ["  its key    none"]
        yield from [f"  against    {order}: {sentence}" for order, sentence in study["against"].items()]
    if settled and not said["studies"]:
        yield "study    no stored study has one of its numbers"
    if said["studiesLeftOut"]:
        yield f"study    {said['studiesLeftOut']} more have one of its numbers"


def _number_lines(name: str, numbers: Sequence[Mapping[str, Any] | None]) -> Iterator[str]:
    for one in numbers:
        if one is not None:
            kind = f" ({one['type']})" if one["type"] else ""
            named = f"named {one['named']}" if one["named"] else "names no authority"
            key = f"key under {one['system']}" if one["system"] else "no key: the settings know no authority for it"
            whose = f", of {', '.join(one['facilities'])}" if one["facilities"] else ""
            yield f"  {name:<10} {one['value']}{kind}, {named}, {key}{whose}"
