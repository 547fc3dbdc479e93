"""Store ingested studies, several in one commit; one that changed since it was read is not stored but planned again.

Carries out no clause of a standard; decisions D7, D8, D12, D25, D29. The state read before the mapping is compared with
the present one, under locks (locks.py). If another process has changed it, nothing of that study is written. Studies
that wait for a commit under way share the next one: a statement for all of them costs much less than one for each. A
transaction that another process was faster than runs again.
Proved by tests/contract/test_pipeline_races.py and tests/contract/test_shared_commits.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from gateway.runtime.errors import StoreUnavailable
from gateway.store.database import locks
from gateway.store.database.engine import (
    Engine,
    Raced,
    Statement,
    Steps,
    Values,
    Work,
    ask,
    ask_each,
    ask_rows,
    inserting,
    rows_at_commit,
)
from gateway.store.database.locks import REVISIONS, Outdated
from gateway.store.feed.cancelled_reports import count_withdrawal, put_items
from gateway.store.feed.moves import KEEP_FORMER, MOVES, decided_moves
from gateway.store.feed.order_news import add_order_news
from gateway.store.feed.outbox import ADD_CAUSE
from gateway.store.feed.plans import LATEST_NUMBER
from gateway.store.known_study import MAY_BE_TOLD, KnownStudy
from gateway.store.orders.hospital import is_as_known, put_match
from gateway.store.orders.numbers import lock_names
from gateway.store.studies import write_versions
from gateway.store.studies.crawling import marker
from gateway.store.studies.identities import claims_about
from gateway.store.studies.write_versions import VersionWrite, WrittenVersion

if TYPE_CHECKING:
    from gateway.store.study_rows import StudyWrite

USERS: Final = Statement("SELECT user_id, body FROM person WHERE user_id IN listed(:user_ids)")
TOUCH: Final = Statement("UPDATE study SET fetched = :fetched WHERE study_id = :study_id AND fetched < :fetched")
KEPT: Final = Statement("SELECT study_id, revision, kept FROM study WHERE study_id IN listed(:study_ids)")
# What else a write compares, in one question: accession numbers, studies that were erased, the settings in force
_PRESENT: Final = Statement(
    "SELECT 'accession' AS of, study_instance_uid, accession_number FROM enrichment"  # noqa: S608 (constants)
    " WHERE study_instance_uid IN listed(:uids)"
    " UNION ALL SELECT 'erased', digest, NULL FROM erased WHERE digest IN listed(:digests)"
    f" UNION ALL SELECT 'in-force', CAST(n.number AS TEXT), NULL FROM ({LATEST_NUMBER}) n"
)
_TOLD: Final = Statement(
    "SELECT DISTINCT study_id, destination, report_id FROM outbox WHERE study_id IN listed(:study_ids)"  # noqa: S608 (constants)
    f" AND destination <> '' AND {MAY_BE_TOLD}"
)
_PUT_STUDY: Final = inserting(
    "study",
    "study_id TEXT, study_instance_uid TEXT, revision BIGINT, is_external BIGINT, has_signed BIGINT,"
    " has_warnings BIGINT, listed_digest TEXT, received_digest TEXT, received BYTEA, kept BYTEA, fetched BIGINT,"
    " listed BIGINT",
    "ON CONFLICT (study_id) DO UPDATE SET study_instance_uid = excluded.study_instance_uid,"
    " revision = excluded.revision, is_external = excluded.is_external, has_signed = excluded.has_signed,"
    " has_warnings = excluded.has_warnings, listed_digest = excluded.listed_digest,"
    " received_digest = excluded.received_digest, received = excluded.received, kept = excluded.kept,"
    " fetched = excluded.fetched",
)
_PUT_REPORT: Final = inserting(
    "report",
    "report_id TEXT, study_id TEXT, status TEXT, is_addendum BIGINT, signed BIGINT, first_seen BIGINT,"
    " first_seen_signed BIGINT",
    "ON CONFLICT (report_id) DO UPDATE SET status = excluded.status, is_addendum = excluded.is_addendum,"
    " signed = excluded.signed, first_seen_signed = coalesce(report.first_seen_signed, excluded.first_seen_signed)",
)
_DROP_ISSUES: Final = Statement("DELETE FROM issue WHERE study_id IN listed(:study_ids)")
_ADD_ISSUE: Final = inserting(
    "issue", "study_id TEXT, place BIGINT, code TEXT, severity TEXT, pointer TEXT, action TEXT"
)
_PUT_CLAIM: Final = inserting(
    "claim",
    "patient_id TEXT, study_id TEXT, study_date TEXT, signed BIGINT, body BYTEA, content TEXT",
    "ON CONFLICT (patient_id, study_id) DO UPDATE SET study_date = excluded.study_date, signed = excluded.signed,"
    " body = excluded.body, content = excluded.content",
)
_DROP_CLAIM: Final = Statement("DELETE FROM claim WHERE patient_id = :patient_id AND study_id = :study_id")
_END_CONFLICTS: Final = Statement(
    "DELETE FROM conflict WHERE study_id = :study_id AND patient_id NOT IN listed(:patient_ids)"
)
_ADD_CONFLICT: Final = Statement(
    "INSERT INTO conflict (patient_id, study_id, since) VALUES (:patient_id, :study_id, :now) ON CONFLICT DO NOTHING"
)
_KEEP_JUDGED: Final = Statement(
    "UPDATE verdict SET judged = :judged, reopened = CASE WHEN :counts = 1 THEN NULL"
    " ELSE coalesce(reopened, CAST(:now AS BIGINT)) END WHERE study_id = :study_id AND patient_id = :patient_id"
)
# What an operator decided about a patient whom a merge replaced holds for the survivor (D12, D48)
_CARRY_VERDICT: Final = Statement(
    "INSERT INTO verdict (patient_id, study_id, verdict, reason, decided, judged, reopened)"
    " SELECT :patient_id, study_id, verdict, reason, decided, judged, reopened FROM verdict"
    " WHERE study_id = :study_id AND patient_id = :replaced ON CONFLICT DO NOTHING"
)
# Only the newest row of a report records that no destination takes it
_REPLACE_UNROUTED: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = 'routed-later', settled = :now WHERE study_id = :study_id"
    " AND report_id = :report_id AND destination = '' AND state IN ('unrouted', 'ignored')"
)
# A newer cause replaces rows that were filtered out, planned or to be stopped, once the report is owed again
_SAID_BY_NEWER: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = '', settled = :now WHERE study_id IN listed(:study_ids)"
    " AND destination <> '' AND state IN ('to_stop', 'excluded', 'planned')"
    " AND EXISTS (SELECT 1 FROM outbox o WHERE o.study_id = outbox.study_id AND o.report_id = outbox.report_id AND o.destination = outbox.destination AND o.number > outbox.number"  # noqa: E501
    " AND o.state = 'waiting' AND o.kind NOT IN ('draft', 'draft_cancelled'))"
)
_OF_DRAFTS: Final = frozenset({"draft", "draft_cancelled"})
# A changed draft starts its delay again
_WAIT_ON: Final = Statement(
    "UPDATE outbox SET due = :due WHERE study_id = :study_id AND destination = :destination AND kind = 'draft'"
    " AND state = 'waiting' AND due < :due"
)
# The reason for holding these rows may be gone. Only an operator can decide a move (D13)
_LOOK_AGAIN: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', due = :now, settled = NULL"
    " WHERE study_id IN listed(:study_ids) AND state = 'held' AND reason <> 'move'"
)
_WANT_PDF: Final = Statement(
    "INSERT INTO pdf (report_id, study_id, state, due, attempts, code) VALUES (:report_id, :study_id, 'wanted', :now,"
    " 0, '') ON CONFLICT (report_id) DO UPDATE SET state = 'wanted', due = excluded.due, attempts = 0"
)
# PDFs that are kept or wanted already stay as they are
_WANT_MISSING_PDF: Final = Statement(
    "INSERT INTO pdf (report_id, study_id, state, due, attempts, code) VALUES (:report_id, :study_id, 'wanted', :now,"
    " 0, '') ON CONFLICT (report_id) DO UPDATE SET state = 'wanted', due = excluded.due, attempts = 0"
    " WHERE pdf.state = 'unavailable'"
)
_ASKED: Final = Statement("SELECT user_id, asked FROM person WHERE user_id IN listed(:user_ids)")
_PUT_USER: Final = inserting(
    "person",
    "user_id TEXT, asked BIGINT, body BYTEA",
    "ON CONFLICT (user_id) DO UPDATE SET asked = excluded.asked, body = excluded.body"
    " WHERE person.asked <= excluded.asked",
)
# A changed claim about a patient: studies held apart from the patient may no longer need to be
_REFRESH_HELD_APART: Final = Statement(
    "INSERT INTO control (verb, argument, asked) SELECT DISTINCT 'refresh', study_id, CAST(:now AS BIGINT)"
    " FROM conflict WHERE patient_id IN listed(:patient_ids) AND study_id NOT IN listed(:study_ids)"
)


class OthersMoved(Exception):
    """Claims about the study's patients, or the settings in force, changed since the plan: plan the write again."""


class StudyIntake(NamedTuple):
    """Study to store: the planned write, and the stored state that it was planned from."""

    write: StudyWrite
    known: KnownStudy

    @property
    def locks(self) -> frozenset[str]:
        """Names of the locks to hold while the study is compared and written."""
        write, known = self
        return frozenset(
            {
                locks.study(write.study_id),
                locks.uid(write.row["study_instance_uid"]),
                *map(locks.patient, known.claims_of),
                *lock_names(known.hospital.keys if known.hospital else ()),
            }
        )


Outcome = list[WrittenVersion] | Outdated | OthersMoved


def store_studies(intakes: Sequence[StudyIntake], site_key: bytes) -> Steps[list[Outcome]]:
    """Store studies that share no lock; return for each the versions written, or why it was not stored.

    `Outdated`: the study must be fetched and mapped again, or was erased on order meanwhile. `OthersMoved`: the claims
    about its patients, and the settings in force, must be read again.

    Raises:
        Raced: at the commit; run the transaction again.
    """
    yield from locks.take({name for one in intakes for name in one.locks})
    moved = yield from _moved(intakes, site_key)
    standing = [one for place, one in enumerate(intakes) if place not in moved]
    written = iter((yield from _store(standing)) if standing else ())
    return [moved[place] if place in moved else next(written) for place in range(len(intakes))]


def _moved(intakes: Sequence[StudyIntake], site_key: bytes) -> Steps[dict[int, Outdated | OthersMoved]]:
    """Return which studies must not be written as planned, by their place in the list, with the reason."""
    present = yield from _present(intakes, site_key)
    moved: dict[int, Outdated | OthersMoved] = {}
    for place, (write, known) in enumerate(intakes):
        hospital = known.hospital
        is_other = hospital is not None and not (yield from is_as_known(hospital, write.study_id))
        if is_other or not present.is_as_read(write, known):
            moved[place] = Outdated()
            continue
        claims = yield from claims_about(known.claims_of, write.study_id)
        if present.in_force != write.in_force or claims != list(known.claims):
            moved[place] = OthersMoved()
        elif write.withdraws and not (yield from count_withdrawal(write.study_id, write.now)):
            moved[place] = Outdated()
    return moved


class _Present(NamedTuple):
    """State in the database now, by study; accession numbers by UID. `erased`: studies erased since they were read."""

    revisions: Mapping[str, int]
    erased: Set[str]
    accession_numbers: Mapping[str, str | None]
    told: Mapping[str, Set[tuple[str, str]]]
    in_force: int

    def is_as_read(self, write: StudyWrite, known: KnownStudy) -> bool:
        """True if the stored study is unchanged since it was fetched and mapped."""
        told = {(name, report_id) for name, report_ids in known.told.items() for report_id in report_ids}
        return (
            write.study_id not in self.erased
            and self.revisions.get(write.study_id, 0) == known.revision
            and self.accession_numbers.get(write.row["study_instance_uid"]) == known.accession_number
            and self.told.get(write.study_id, set()) == told
        )


def _present(intakes: Sequence[StudyIntake], site_key: bytes) -> Steps[_Present]:
    study_ids = json.dumps([one.write.study_id for one in intakes])
    revisions = yield from ask(REVISIONS, study_ids=study_ids)
    uids = json.dumps([one.write.row["study_instance_uid"] for one in intakes])
    new = {marker(write.study_id, site_key): write.study_id for write, known in intakes if not known.revision}
    found: dict[str, dict[str, str | None]] = {"accession": {}, "erased": {}, "in-force": {}}
    for of, name, number in (yield from ask(_PRESENT, uids=uids, digests=json.dumps(list(new)))):
        found[str(of)][str(name)] = number
    told: dict[str, set[tuple[str, str]]] = {}
    stored = [write.study_id for write, known in intakes if known.revision]  # only they have rows
    for study_id, name, report_id in (yield from ask(_TOLD, study_ids=json.dumps(stored))) if stored else ():
        told.setdefault(str(study_id), set()).add((str(name), str(report_id)))
    return _Present(
        {str(study_id): int(revision) for study_id, revision in revisions},
        {new[digest] for digest in found["erased"]},
        found["accession"],
        told,
        int(next(iter(found["in-force"]))),
    )


def _store(intakes: Sequence[StudyIntake]) -> Steps[list[list[WrittenVersion]]]:
    """Write all rows of the studies; resource versions last, since other writers wait from then on."""
    writes = [one.write for one in intakes]
    now = max(one.now for one in writes)
    known = [write.study_id for write, known in intakes if known.revision]
    for write in writes:
        if write.is_move or any(row["is_move"] in MOVES for row in write.causes):
            yield from ask(KEEP_FORMER, study_id=write.study_id)
    yield from _store_studies(intakes, known)
    yield from _store_claims(intakes, now)
    yield from _store_causes(writes, known, now)
    for write in writes:
        yield from add_order_news(write.study_id, write.order_news, write.now)
    yield from ask_each(_WANT_PDF, _each(writes, lambda one: _reports(one.pdfs)))
    yield from ask_each(_WANT_MISSING_PDF, _each(writes, lambda one: _reports(one.pdfs_missing)))
    users = yield from _newer_users(writes)
    written = yield from write_versions.write(
        [
            VersionWrite([*one.resources, *(replace(person, as_of=None) for person in one.patients)], one.reindex)
            for one in writes
        ],
        now,
    )
    yield from rows_at_commit(_PUT_USER, users)
    return written


def _each(writes: Sequence[StudyWrite], rows: Callable[[StudyWrite], Iterable[Mapping[str, Any]]]) -> list[Values]:
    """Return the given rows of all writes, each with its study id and the instant of the write."""
    return [{**row, "study_id": one.study_id, "now": one.now} for one in writes for row in rows(one)]


def _reports(report_ids: Iterable[str]) -> list[Mapping[str, Any]]:
    return [{"report_id": report_id} for report_id in report_ids]


def _store_studies(intakes: Sequence[StudyIntake], known: Sequence[str]) -> Steps[None]:
    studies = [
        {**write.row, "study_id": write.study_id, "revision": known.revision + 1, "listed": write.row["fetched"]}
        for write, known in intakes
    ]
    writes = [one.write for one in intakes]
    yield from ask_rows(_PUT_STUDY, studies)
    yield from ask_rows(_PUT_REPORT, _each(writes, lambda one: [{**row, "first_seen": one.now} for row in one.reports]))
    if known:
        yield from ask(_DROP_ISSUES, study_ids=json.dumps(known))
    yield from ask_rows(_ADD_ISSUE, _each(writes, lambda one: one.issues))
    for one, known_study in intakes:
        if one.match is not None:
            yield from put_match(one.study_id, one.match)
        yield from put_items(one.study_id, one.cancelled, known_study.cancelled, one.now)


def _store_claims(intakes: Sequence[StudyIntake], now: int) -> Steps[None]:
    writes = [one.write for one in intakes]
    yield from ask_rows(_PUT_CLAIM, _each(writes, lambda one: one.claims))
    left = _each(writes, lambda one: [{"patient_id": patient_id} for patient_id in one.claims_left])
    yield from ask_each(_DROP_CLAIM, left)
    affected = [row["patient_id"] for one in writes for row in one.claims if row["is_changed"]]
    affected += [str(row["patient_id"]) for row in left]
    if affected:
        study_ids = json.dumps([one.study_id for one in writes])
        yield from ask(_REFRESH_HELD_APART, patient_ids=json.dumps(affected), study_ids=study_ids, now=now)
    for write, known in intakes:
        if known.revision:
            yield from ask(_END_CONFLICTS, study_id=write.study_id, patient_ids=json.dumps(write.conflicts))
    yield from ask_each(
        _ADD_CONFLICT, _each(writes, lambda one: [{"patient_id": patient_id} for patient_id in one.conflicts])
    )
    yield from ask_each(_CARRY_VERDICT, _each(writes, lambda one: one.carried))
    yield from ask_each(_KEEP_JUDGED, _each(writes, lambda one: one.judged))


def _store_causes(writes: Sequence[StudyWrite], known: Sequence[str], now: int) -> Steps[None]:
    """Store outbox rows for what destinations are owed; `known` are the studies that were stored before."""
    # An upgrade or a setting sends nothing by itself (D7)
    if fetched := [one.study_id for one in writes if not one.reindex and one.study_id in known]:
        yield from ask(_LOOK_AGAIN, study_ids=json.dumps(fetched), now=now)
    given = {one.study_id: one.gave_way for one in writes}
    causes = yield from decided_moves(_each(writes, lambda one: one.causes), given)
    told = {(row["study_id"], row["report_id"]): row["now"] for row in causes if row["kind"] not in _OF_DRAFTS}
    values = [
        {"study_id": one, "report_id": report_id, "now": at} for (one, report_id), at in told.items() if one in known
    ]
    yield from ask_each(_REPLACE_UNROUTED, values)
    yield from ask_each(ADD_CAUSE, causes)
    if known:
        yield from ask(_SAID_BY_NEWER, study_ids=json.dumps(known), now=now)
    yield from ask_each(_WAIT_ON, [one for one in causes if one["kind"] == "draft"])


def _newer_users(writes: Sequence[StudyWrite]) -> Steps[list[Mapping[str, Any]]]:
    """Return users (radiologists) read later than the stored ones; sorted, since other studies write the same users."""
    newest: dict[str, Mapping[str, Any]] = {}
    for user in (user for one in writes for user in one.users):
        before = newest.get(user["user_id"])
        if before is None or before["asked"] <= user["asked"]:
            newest[user["user_id"]] = user
    rows = (yield from ask(_ASKED, user_ids=json.dumps(sorted(newest)))) if newest else []
    asked = {str(user_id): int(at) for user_id, at in rows}
    return [newest[one] for one in sorted(newest) if newest[one]["asked"] > asked.get(one, -1)]


Result = TypeVar("Result")
MOST_TOGETHER: Final = 8
_MOST_TRIES: Final = 20


async def committed(engine: Engine, work: Work[Result]) -> Result:
    """Run a transaction that writes versions; repeat it if another process wrote one of the resources meanwhile.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    for _ in range(_MOST_TRIES):
        try:
            return await engine.do(work)
        except Raced:
            continue
    raise StoreUnavailable("other processes wrote the same resources again and again")


class _Waiting(NamedTuple):
    """Study that waits for its commit, and the future for the outcome."""

    intake: StudyIntake
    future: asyncio.Future[Outcome]


class StudyCommits:
    """Queue of studies to commit, for one pipeline: two commits at once would write the same users, and collide."""

    def __init__(self, engine: Engine, site_key: bytes) -> None:
        self._engine, self._site_key = engine, site_key
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None

    async def store(self, intake: StudyIntake) -> list[WrittenVersion]:
        """Store a study and return the versions written. A failing study does not cost the others their commit.

        Raises:
            Outdated: the study must be fetched and mapped again.
            OthersMoved: the claims about its patients, and the settings in force, must be read again.
            StoreUnavailable: the store cannot be reached.
        """
        waiting = _Waiting(intake, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_all())
        outcome = await waiting.future
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _stored(self, intakes: Sequence[StudyIntake]) -> list[Outcome]:
        return await committed(self._engine, partial(store_studies, intakes, self._site_key))

    async def _commit_all(self) -> None:
        while batch := self._next():
            try:
                await self._commit(batch)
            finally:
                for one in batch:
                    one.future.cancel()

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Commit studies together; if that fails, commit each on its own, so that the others are stored."""
        try:
            outcomes = await self._stored([one.intake for one in batch])
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._commit([one])
            elif not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        for one, outcome in zip(batch, outcomes, strict=True):
            if not one.future.done():
                one.future.set_result(outcome)

    def _next(self) -> list[_Waiting]:
        """Take the studies for the next commit, first come first served; no two of them share a lock."""
        batch: list[_Waiting] = []
        rest: list[_Waiting] = []
        locked: set[str] = set()
        for one in self._waiting:
            if one.future.done():
                continue
            if len(batch) < MOST_TOGETHER and locked.isdisjoint(one.intake.locks):
                locked |= one.intake.locks
                batch.append(one)
            else:
                rest.append(one)
        self._waiting = rest
        return batch
