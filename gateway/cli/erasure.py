"""Erase a patient's data on order, and let erased studies be read again: the work of `patients erase|readmit`.

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17, erasure); decision D49. The commands write to the same
database as the service, which may run meanwhile. Patient numbers come from standard input alone.
Proved by tests/gateway/cli/test_patients.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from gateway.cli.acting import Shows
from gateway.cli.erased_orders import erasure_of_number, hospital_erasure, see_that_numbers_are_read
from gateway.cli.numbered_patients import patients_having, studies_by_patient
from gateway.cli.typed_numbers import TYPED, typed_numbers, value_and_issuer
from gateway.feed.operator.arguments import Say, counted, id_of, wrong
from gateway.ingest.assembly import store_for_command
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store import erasing
from gateway.store.database.engine import Engine, micros
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.erasing import ErasedCounts, ErasureOrder, MessageInHand, NotErased
from gateway.store.feed.ledger import patients_of_number
from gateway.store.orders.upkeep import HospitalChangedError, HospitalErasure
from gateway.store.studies.crawling import readmitted
from gateway.store.studies.identities import survivor_of
from mappings.patient.identifiers import fhir_id, keyed_patient_id

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
    for study_id in await erasing.undecided(engine, patient_ids, study_ids):
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
            return await engine.do(partial(erasing.erased, order, is_trial=is_trial))
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
