"""Erase a patient's data on order, and let erased studies be read again: the work of `patients erase|readmit`.

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17, erasure), HL7 v2.5.1 §2.A.14 (CX); decisions D11, D48, D49.
The commands write to the same database as the service, which may run meanwhile. Patient numbers come only from standard
input. A number is somebody's only together with its authority: the one under which the store has it. If several
have given it out, the operator writes which, as CX does: 4711^^^CITY. A hospital's messages are found only by reading
each that still has its bytes, so they are read before the erasure begins. It reads what came since itself.
Proved by tests/gateway/cli/test_patients.py and tests/contract/test_erasing_orders.py.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from gateway.cli.run_command import Shows
from gateway.feed.operator.arguments import Say, counted, id_of, wrong
from gateway.ingest.assembly import store_for_command
from gateway.ingest.meet_orders import patient_numbers
from gateway.ingest.orders.named_numbers import MessageNumbers, NamedNumbers
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import authority_of, sources_of, survey_sources
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store import erasing, intake
from gateway.store.database.engine import Engine, micros
from gateway.store.database.kept import decompressed, kept
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.erasing import ErasedCounts, ErasureOrder, MessageInHand, NotErased, studies_claiming
from gateway.store.feed.ledger import patients_of_number
from gateway.store.orders.hospital import OrderReader
from gateway.store.orders.inbound import first_names
from gateway.store.orders.numbers import authorities_having, changes_of, number_of, of_each_type
from gateway.store.orders.upkeep import (
    HospitalChangedError,
    HospitalErasure,
    Judge,
    OrdersToErase,
    Whose,
    messages_with_bytes,
    orders_to_erase,
    source_names,
    study_having,
)
from gateway.store.studies.crawling import readmitted
from gateway.store.studies.identities import patients_spelling, survivor_of
from mappings.hospital.authorities import PATIENT_TYPES, Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Authority, IssuedNumber
from mappings.hospital.groups import compare_numbers, hospital_person
from mappings.patient.identifiers import fhir_id, keyed_patient_id, mrn_key
from mappings.patient.people import are_two_people

_Hospital: TypeAlias = Callable[[], Awaitable[HospitalErasure | None]]
_PATIENT: Final = re.compile(r"(?:Patient/)?(pat-[0-9a-f]{32})")
_STUDY: Final = re.compile(r"stu_[0-9a-f]{32}")
_TRIES: Final = 20  # a message is in hand until its receiver answers
_PAUSE: Final = 1.0
_REMAINS: Final = (
    "not erased, since the gateway cannot reach it or must keep it: backups, what receivers and clients got,",
    "AutoScribe itself, the ledger's ids, times and codes, the audit, and the feed journal, which has no patient data;",
    "of each message of a hospital a hash, its sender and MSH-10, for as long as before,",
    "orders and merged numbers under an authority that the settings do not have: erase them by number with ^^^ and it,",
    "and orders that no study answered, under a number that another patient has, too, or that may be anybody's",
)
TYPED: Final = "standard input"
NOBODY: Final = "no stored study describes this patient, and no order"
PATIENT_ID: Final = (
    "Write the id of the Patient resource. If only messages that are not applied name the patient, write the number"
    " with ^^^ and the namespace of its authority behind it."
)
_BEHIND: Final = "^^^"
_NAMED: Final = "hd:"  # an authority that no facility has stands for itself (`Authorities.number`)


@dataclass(frozen=True, slots=True)
class TypedErasure:
    """Arguments of `patients erase`, as typed; a trial only counts."""

    reason: str
    study: str | None
    is_trial: bool


async def erase(configuration: Configuration, typed: TypedErasure, shows: Shows, say: Say) -> int:
    """Erase a patient or a study, or only count; return 1 while one of its messages is being sent.

    `shows` gets the studies and their patients before.

    Raises:
        ConfigError: there is no reason, no such patient or study, or it is not clear whose data would be erased, or
            what hospitals sent is not read under the authorities of the settings yet.
        StoreUnavailable: the store cannot be reached.
    """
    if not typed.reason.strip():
        raise wrong("--reason", "empty", "Write why the data are erased, without names: the reason is kept.")
    text = _typed_patient() if typed.study is None else ""
    async with store_for_command(configuration) as engine:
        await see_that_numbers_are_read(engine, configuration)
        study_ids, about = await (
            _of_study(engine, typed.study) if typed.study else _of_patient(engine, text, configuration, shows)
        )
        patients = sorted(await erasing.patients_claimed(engine, study_ids))
        if not study_ids:
            patients = [about.partition(" ")[0].removeprefix("Patient/")]
        shows([f"ImagingStudy/{fhir_id(one)}" for one in study_ids], patients)
        await _see_that_nobody_waits(engine, study_ids)
        hospital: _Hospital = partial(erasure_of_number, engine, configuration, text)
        if study_ids:
            hospital = partial(hospital_erasure, engine, configuration, study_ids)
        key, now = configuration.site.site_key, micros(clock.now())
        order = ErasureOrder(study_ids, about, typed.reason, key, now, await hospital())
        try:
            counts = await _carried_out(engine, order, hospital, is_trial=typed.is_trial)
        except NotErased as trial:
            say(f"would be erased: {_in_words(trial.counts)}")
            say("nothing is erased yet: write --yes to erase it")
            return 0
        if counts is None:
            say("nothing is erased: a message of it is being sent, or hospitals send messages about it at this moment.")
            say("Try again, or run `feed pause` for its destination")
            return 1
        say(f"erased: {_in_words(counts)}")
        for study_id in study_ids:
            say(f"  {study_id}")
        await _clean(engine, say)
    for line in _REMAINS:
        say(line)
    return 0


async def readmit(configuration: Configuration, study: str, reason: str, say: Say) -> int:
    """Remove the mark of an erased study, so that the next crawl reads it.

    Raises:
        ConfigError: there is no reason, or the study was not erased.
    """
    if not reason.strip():
        raise wrong("--reason", "empty", "Write why the study is read again: the reason is kept.")
    study_id = id_of(study)
    async with store_for_command(configuration) as engine:
        work = partial(readmitted, study_id, configuration.site.site_key, reason, micros(clock.now()))
        if not await engine.do(work):
            raise wrong(study_id, "this study was not erased", "`patients erase` printed the ids of those that were.")
    say(f"{study_id} is read again by the next crawl; what a receiver has is not sent to it again")
    return 0


def _typed_patient() -> str:
    """Read the one Patient id or patient number from standard input."""
    if sys.stdin.isatty():
        sys.stderr.write("a Patient id, or a patient's number; then Ctrl-D\n")
    lines = [line.strip() for line in sys.stdin if line.strip()]
    if len(lines) != 1:
        problem = "there is not exactly one line on standard input"
        raise wrong("standard input", problem, "Write one Patient id or number to it: a command erases one patient.")
    return lines[0]


async def _of_study(engine: Engine, study: str) -> tuple[list[str], str]:
    study_id = id_of(study)
    if not _STUDY.fullmatch(study_id):
        raise wrong("--study", "not the id of a study", "Write stu_ and 32 hex digits.")
    if not await erasing.is_stored(engine, study_id):
        raise wrong("--study", "no such study is stored", "Look for its id in AutoScribe.")
    return [study_id], study_id


async def _of_patient(engine: Engine, text: str, configuration: Configuration, shows: Shows) -> tuple[list[str], str]:
    """Return the studies of a patient; none for a number that only orders have.

    `shows` gets several patients of one number, whose ids an error says.

    A patient whom a merge replaced is erased with the surviving one: they are one person.

    Raises:
        ConfigError: nobody or several people have the number, or a study is also about somebody else.
    """
    given, (value, issuer) = _PATIENT.fullmatch(text), value_and_issuer(text)
    named = [given[1]] if given else [] if issuer else await patients_of_number(engine, value)
    studies = await studies_by_patient(engine, named)
    if given and not studies:
        raise wrong(TYPED, "no stored study describes this patient", "Write the id of the Patient resource.")
    if not studies:
        number, site = min(await typed_numbers(engine, configuration, text)), configuration.site
        studies = await studies_by_patient(engine, await patients_having(engine, number))
        if not studies:
            return [], f"Patient/{keyed_patient_id(number.authority, number.value, site)} of orders alone"
    if len(studies) > 1:
        shows([], list(studies))
        remedy = f"Write the id of one: {', '.join(studies)}."
        raise wrong(TYPED, "several patients have this number", remedy)
    [(patient_id, study_ids)] = studies.items()
    for study_id in study_ids:
        claimed = await erasing.patients_claimed(engine, [study_id])
        if {await survivor_of(engine, one) for one in claimed} - {patient_id}:
            remedy = f"Look at it, and erase it with --study {study_id} first, if it is to go whole."
            raise wrong(study_id, "reports of this study are about somebody else too", remedy)
    return study_ids, f"Patient/{patient_id} {counted(len(study_ids), 'study')}"


async def _see_that_nobody_waits(engine: Engine, study_ids: Sequence[str]) -> None:
    """Refuse the erasure while another study has an undecided conflict about the same patient.

    Without the data that contradict it, its held reports would be sent under a number that may be somebody else's.
    """
    patient_ids = await erasing.patients_claimed(engine, study_ids)
    for study_id in await erasing.undecided_conflicts(engine, patient_ids, study_ids):
        remedy = "Decide first if it is the same person: `identity link` or `identity separate`."
        raise wrong(study_id, "this study is held apart from the patient, and nobody has decided yet", remedy)


async def _carried_out(
    engine: Sqlite | Postgres, order: ErasureOrder, hospital: _Hospital, *, is_trial: bool
) -> ErasedCounts | None:
    """Erase once no message of the order is being sent; None if one still is.

    `hospital` finds anew what hospitals sent of the patient, if they say other things now.

    Raises:
        NotErased: it is a trial.
        ConfigError: it is not clear any more what hospitals sent of the patient.
    """
    for attempt in range(_TRIES):
        if attempt:
            await clock.sleep(_PAUSE)
        try:
            return await engine.do(partial(erasing.erase_studies, order, is_trial=is_trial))
        except MessageInHand:
            continue
        except HospitalChangedError:
            order = replace(order, hospital=await hospital())
    return None


async def _clean(engine: Sqlite | Postgres, say: Say) -> None:
    """Make the database overwrite deleted rows, as far as it can while in use; print what it cannot."""
    if isinstance(engine, Postgres):
        say("PostgreSQL keeps deleted rows until a VACUUM, and in archived WAL: run VACUUM, and see your backups")
    elif not await engine.emptied_log():
        say("the write-ahead log still has old pages: it is emptied at the next start of the service")


def _in_words(counts: ErasedCounts) -> str:
    parts = [
        counted(counts.studies, "study"),
        counted(counts.reports, "report"),
        counted(counts.resources, "FHIR resource"),
        f"{counts.pdfs} PDFs",
        f"{counts.unsent} unsent messages and causes ({counts.in_doubt} may have arrived)",
        f"the texts of {counted(counts.sent, 'sent message')}",
    ]
    if counts.orders or counts.received:
        parts.append(f"{counted(counts.orders, 'order')}, the bytes of {counted(counts.received, 'hospital message')}")
    if counts.made_anew:
        parts.append(
            f"{counted(counts.patients, 'Patient')}, made anew from {counted(counts.made_anew, 'other study')}"
        )
    return ", ".join(parts)


async def see_that_numbers_are_read(engine: Engine, configuration: Configuration) -> None:
    """Refuse while orders or merges stand under authorities that the settings had before, and so under other numbers.

    Without sources in the settings nothing is read anew, and all stays as it is.

    Raises:
        ConfigError: the service has not yet read all anew under these settings, or a source is faulty.
        StoreUnavailable: the store cannot be reached.
    """
    names = await first_names(engine)
    rules = {one.stored_name: one.rules for one in (one.as_stored(names) for one in sources_of(configuration))}
    is_used = await OrderReader(engine, Authorities(configuration.site)).is_used()
    if rules and is_used and not await OrderKeys(engine, Authorities(configuration.site), rules).is_done():
        problem = "numbers of orders and merges are not read anew yet under the authorities of these settings"
        raise wrong("patients erase", problem, "Start the service with these settings, and wait for `orders-rekeyed`.")


async def hospital_erasure(
    engine: Engine, configuration: Configuration, study_ids: Sequence[str]
) -> HospitalErasure | None:
    """Return what an erasure of these studies concerns of hospitals; None if none ever sent anything.

    Raises:
        ConfigError: a held merge ties the patient's number to somebody else's.
        StoreUnavailable: the store cannot be reached.
    """
    if not await OrderReader(engine, Authorities(configuration.site)).is_used():
        return None
    return await _erasure(engine, configuration, study_ids, await _numbers(engine, configuration, study_ids))


async def erasure_of_number(engine: Engine, configuration: Configuration, text: str) -> HospitalErasure:
    """Return what an erasure of a patient concerns whom orders alone describe, by the typed number.

    `text` is the number, with `^^^` and the namespace or system of its authority behind it if several gave it out.

    Raises:
        ConfigError: no order or message has the number, it is not clear whose it is, or a stored study has it.
        StoreUnavailable: the store cannot be reached.
    """
    value, _ = value_and_issuer(text)
    numbers = await typed_numbers(engine, configuration, text)
    if any(Authorities(configuration.site).may_be_anybodys(one, value) for one in numbers):
        raise wrong(TYPED, "this number may be anybody's", "Its orders go 90 days after they were last heard of.")
    made = await _erasure(engine, configuration, (), numbers)
    merged = [one.change for one in await changes_of(engine, numbers) if not one.held]
    every = made.found.numbers.union(numbers, *merged)
    if study_id := await study_having(engine, every) or await study_of_numbers(engine, every, configuration):
        remedy = f"Look at it with `orders show {study_id}`; --study erases it with the orders that it answers."
        raise wrong(study_id, "this study has the number, or may have it, or read orders under it", remedy)
    people = list(dict.fromkeys(hospital_person(one.order.patient) for one in made.found.orders))
    if any(are_two_people(one, other) for place, one in enumerate(people) for other in people[:place]):
        raise wrong(TYPED, "orders of two people have this number", "Let the hospital correct the wrong ones first.")
    is_stored = bool({one.authority for one in numbers} & await authorities_having(engine, mrn_key(value)))
    if not is_stored and "patient" not in made.messages.values():
        raise wrong(TYPED, NOBODY, PATIENT_ID)
    return made


async def _erasure(
    engine: Engine, configuration: Configuration, study_ids: Sequence[str], numbers: frozenset[HospitalNumber]
) -> HospitalErasure:
    authorities = Authorities(configuration.site)
    found = await engine.do(partial(orders_to_erase, study_ids, numbers, authorities))
    if found.disputed:
        problem = "a merge that is held ties the patient's number to somebody else's, who would be in doubt no more"
        remedy = (
            "Settle it first: `orders messages` has its message, for `orders set-aside`, or the hospital sends a merge."
        )
        raise wrong("patients erase", problem, remedy)
    judge = _judge(MessageNumbers(configuration, await first_names(engine), _issuers(found)), authorities)
    messages, read_to = await _messages(engine, found, judge)
    return HospitalErasure(authorities, numbers, found, judge, messages, read_to)


async def _numbers(engine: Engine, configuration: Configuration, study_ids: Sequence[str]) -> frozenset[HospitalNumber]:
    """Return the numbers of the studies' patients under each type; none if another study describes one of them."""
    for patient_id in await erasing.patients_claimed(engine, study_ids):
        if set(await erasing.studies_claiming(engine, patient_id)) - set(study_ids):
            return frozenset()
    rows = await engine.fetch(intake.KEPT, study_ids=json.dumps(list(study_ids)))
    numbers = set[HospitalNumber]()
    for known in (kept(bytes(row[2])) for row in rows):
        for system, value in patient_numbers([known.study], known.facts.old_numbers, configuration.site):
            numbers.update([HospitalNumber("patient", system, one, value) for one in sorted(PATIENT_TYPES - {""})])
    return frozenset(numbers)


async def _messages(engine: Engine, found: OrdersToErase, judge: Judge) -> tuple[dict[int, Whose], dict[str, int]]:
    """Return whose each message is, without those that do not name the patient, and how far each source was read."""
    messages, read_to = dict[int, Whose](), dict[str, int]()
    for source in await source_names(engine):
        while rows := await engine.do(partial(messages_with_bytes, source, read_to.get(source, 0))):
            read_to[source] = rows[-1][0]
            judged = ((number, judge(found, source, body)) for number, body in rows)
            messages |= {number: whose for number, whose in judged if whose}
    return messages, read_to


def _issuers(found: OrdersToErase) -> list[Authority]:
    """Return the authorities of the patient's numbers, since settings may name them no more."""
    stated = [number.authority for one in found.orders for number in one.order.patient.numbers]
    stored = sorted({namespace_and_system(one.authority) for one in found.numbers})
    return list(dict.fromkeys([*stated, *(authority_of(*one) for one in stored)]))


def _judge(reader: MessageNumbers, authorities: Authorities) -> Judge:
    """Return what tells whose a message is: about the patient or the orders, or of others and naming the patient."""

    def judge(found: OrdersToErase, source: str, body: bytes) -> Whose:
        named = reader.of(source, decompressed(body))
        stated = [authorities.patient_numbers(one.order.patient.numbers, one.order.source) for one in found.orders]
        if _is_about(named, found, found.numbers.union(*stated)):
            return "patient"
        if found.numbers.isdisjoint(named.patients | named.other_patients):
            return ""
        return "both" if named.merged else "others"

    return judge


def _is_about(named: NamedNumbers, found: OrdersToErase, patient: frozenset[HospitalNumber]) -> bool:
    """True for a message with a number of the patient, or about an order that goes and about nobody else.

    Each group of a merge must have a number of the patient: the groups of others are still to be applied. If the
    patient stays, with other studies, only the orders count, not the patient's numbers and visits.
    """
    if named.merged:
        return not any(found.numbers.isdisjoint(one) for one in named.merged)
    if not found.numbers.isdisjoint(named.patients):
        return True
    keys = found.keys if found.numbers else {key for key in found.keys if number_of(key) is None}
    return not keys.isdisjoint(named.texts) and compare_numbers(named.patients, patient) != "differs"


async def studies_by_patient(engine: Engine, patient_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the studies that describe these patients, by the id of the surviving one of each; none without studies.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = dict.fromkeys([await survivor_of(engine, one) for one in patient_ids])
    return {one: studies for one in found if (studies := await studies_claiming(engine, one))}


async def patients_having(engine: Engine, number: HospitalNumber) -> list[str]:
    """Return the ids of patients who have a number under its authority.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    _, system = namespace_and_system(number.authority)
    found = await patients_spelling(engine, {number.value})
    return [one.patient_id for one in found if one.system == system]


async def study_of_numbers(engine: Engine, numbers: Collection[HospitalNumber], configuration: Configuration) -> str:
    """Return a study whose patient has one of these numbers, or may have it; empty if there is none.

    Only a number under another authority of the site is surely somebody else's. One under a namespace that no setting
    named, when its message came, may be of the authority that the settings name so since.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    others = {one.value: Authorities(configuration.site).patient_systems for one in numbers}
    for one in numbers:
        namespace, system = namespace_and_system(one.authority)
        others[one.value] -= {system, *(named_in_settings(configuration, namespace) if namespace else ())}
    found = await patients_spelling(engine, others)
    having = [one.patient_id for one in found if one.system not in others[one.value]]
    return next((study_ids[0] for study_ids in (await studies_by_patient(engine, having)).values()), "")


def value_and_issuer(text: str) -> tuple[str, str]:
    """Return a typed number, and the namespace or the system behind it; that is empty if none is written."""
    value, _, issuer = (one.strip() for one in text.partition(_BEHIND))
    return value, issuer


async def typed_numbers(engine: Engine, configuration: Configuration, text: str) -> frozenset[HospitalNumber]:
    """Return a typed number under its authority, once for each type.

    Raises:
        ConfigError: no authority is known under which it is somebody's, or several are.
        StoreUnavailable: the store cannot be reached.
    """
    value, issuer = value_and_issuer(text)
    found = await authorities_having(engine, mrn_key(value))
    if issuer:
        named = named_in_settings(configuration, issuer)
        found = {one for one in found if one in named or _is_of(one, issuer)} or named
    if len(found) > 1:
        remedy = f"Write {_BEHIND} and the namespace or the system of its authority behind it, such as 4711^^^CITY."
        raise wrong(TYPED, "several authorities have given out this number", remedy)
    if not found or not mrn_key(value):
        raise wrong(TYPED, NOBODY, PATIENT_ID)
    return of_each_type(found.pop(), mrn_key(value))


def namespace_and_system(authority: str) -> tuple[str, str]:
    """Return the namespace and the FHIR system of a stored authority, each as far as it is known without settings."""
    if not authority.startswith(_NAMED):
        return "", authority
    namespace, _, system = authority.removeprefix(_NAMED).partition("&")
    return namespace, system


def named_in_settings(configuration: Configuration, issuer: str) -> set[str]:
    """Return the authorities that sources and facilities of the settings have under a namespace or a system."""
    authorities = Authorities(configuration.site)

    def stored(one: Authority) -> str:
        return authorities.number("patient", IssuedNumber("", one), OrderSource("")).authority

    written = {authority for source in survey_sources(configuration)[0] for authority in source.rules.authorities}
    named = {stored(one) for one in written if issuer == one.namespace or _is_of(stored(one), issuer)} - {""}
    return named.union({issuer, stored(Authority(issuer))} & authorities.patient_systems)


def _is_of(authority: str, issuer: str) -> bool:
    """True if a stored authority has this namespace or this system."""
    return issuer in namespace_and_system(authority)
