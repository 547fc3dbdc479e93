"""Store one study in one transaction: the source, its resources, its claims about patients, and its outbox rows.

Carries out no clause of a standard; decisions D7, D12, D25. The state read before the mapping is compared with the
present one. If another process has changed it, nothing is written, and `Outdated` or `OthersMoved` is raised.
Proved by tests/contract/test_pipeline_races.py and tests/contract/test_verdicts.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.index.keys import bounded
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each, storable
from gateway.store.feed.in_force import LATEST
from gateway.store.feed.moves import KEEP_FORMER
from gateway.store.studies import versions
from gateway.store.studies.versions import RenderedVersion, WrittenVersion

STUDY: Final = Statement(
    "SELECT revision, received_digest, kept, fetched, received FROM study WHERE study_id = :study_id"
)
# With the persons judged, if an operator linked the other study to this patient
OTHERS: Final = Statement(
    "SELECT c.patient_id, c.study_id, c.body, coalesce(v.judged, '') FROM claim c LEFT JOIN verdict v"
    " ON v.patient_id = c.patient_id AND v.study_id = c.study_id AND v.verdict = 'link' AND v.reopened IS NULL"
    " WHERE c.patient_id IN listed(:patient_ids) AND c.study_id <> :study_id ORDER BY c.patient_id, c.study_id"
)
CLAIMED: Final = Statement("SELECT patient_id FROM claim WHERE study_id = :study_id ORDER BY patient_id")
VERDICTS: Final = Statement(
    "SELECT patient_id, verdict, judged FROM verdict WHERE study_id = :study_id ORDER BY patient_id"
)
PDFS: Final = Statement("SELECT report_id, size, sha1 FROM pdf WHERE study_id = :study_id AND state = 'kept'")
USERS: Final = Statement("SELECT user_id, body FROM person WHERE user_id IN listed(:user_ids)")
ACCESSION: Final = Statement("SELECT accession_number FROM enrichment WHERE study_instance_uid = :study_instance_uid")
TOUCH: Final = Statement("UPDATE study SET fetched = :fetched WHERE study_id = :study_id AND fetched < :fetched")
REVISION: Final = Statement("SELECT revision FROM study WHERE study_id = :study_id FOR UPDATE")
# In one order, so that two processes that lock the same studies do not deadlock
REVISIONS: Final = Statement(
    "SELECT study_id, revision FROM study WHERE study_id IN listed(:study_ids) ORDER BY study_id FOR UPDATE"
)
KEPT: Final = Statement("SELECT study_id, revision, kept FROM study WHERE study_id IN listed(:study_ids)")
_PUT_STUDY: Final = Statement(
    "INSERT INTO study (study_id, study_instance_uid, revision, is_external, has_signed, has_warnings, listed_digest,"
    " received_digest, received, kept, fetched, listed) VALUES (:study_id, :study_instance_uid,"
    " :revision, :is_external, :has_signed, :has_warnings, :listed_digest, :received_digest, :received, :kept,"
    " :fetched, :fetched) ON CONFLICT (study_id) DO UPDATE SET study_instance_uid = excluded.study_instance_uid,"
    " revision = excluded.revision, is_external = excluded.is_external, has_signed = excluded.has_signed,"
    " has_warnings = excluded.has_warnings, listed_digest = excluded.listed_digest,"
    " received_digest = excluded.received_digest, received = excluded.received, kept = excluded.kept,"
    " fetched = excluded.fetched"
)
_PUT_REPORT: Final = Statement(
    "INSERT INTO report (report_id, study_id, status, is_addendum, signed, first_seen, first_seen_signed) VALUES"
    " (:report_id, :study_id, :status, :is_addendum, :signed, :now, :first_seen_signed) ON CONFLICT (report_id)"
    " DO UPDATE SET status = excluded.status, is_addendum = excluded.is_addendum, signed = excluded.signed,"
    " first_seen_signed = coalesce(report.first_seen_signed, excluded.first_seen_signed)"
)
_DROP_ISSUES: Final = Statement("DELETE FROM issue WHERE study_id = :study_id")
_ADD_ISSUE: Final = Statement(
    "INSERT INTO issue (study_id, place, code, severity, pointer, action)"
    " VALUES (:study_id, :place, :code, :severity, :pointer, :action)"
)
_PUT_CLAIM: Final = Statement(
    "INSERT INTO claim (patient_id, study_id, study_date, signed, body) VALUES (:patient_id, :study_id, :study_date,"
    " :signed, :body) ON CONFLICT (patient_id, study_id) DO UPDATE SET study_date = excluded.study_date,"
    " signed = excluded.signed, body = CASE WHEN :is_changed = 1 THEN excluded.body ELSE claim.body END"
)
_DROP_CLAIM: Final = Statement("DELETE FROM claim WHERE patient_id = :patient_id AND study_id = :study_id")
_NEWEST_CLAIM: Final = Statement(
    "SELECT body FROM claim WHERE patient_id = :patient_id ORDER BY study_date DESC, signed DESC, study_id DESC LIMIT 1"
)
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
TOLD: Final = Statement(
    "SELECT DISTINCT destination, report_id FROM outbox WHERE study_id = :study_id AND destination <> ''"
    " AND (state IN ('waiting', 'held', 'rendered', 'merged') OR (state = 'left' AND reason = 'may-have-been-sent'))"
)
ADD_CAUSE: Final = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, is_critical,"
    " due, signed, decided) VALUES (:study_id, :report_id, :kind, :content_version, :destination, :state, :reason,"
    " :is_move, :is_critical, :due, :signed, :now)"
)
# Only the newest row of a report records that no destination takes it
_REPLACE_UNROUTED: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = 'routed-later', settled = :now WHERE study_id = :study_id"
    " AND report_id = :report_id AND destination = '' AND state IN ('unrouted', 'ignored')"
)
# A newer cause replaces rows that were filtered out, planned or to be stopped, once the report is owed again
_SAID_BY_NEWER: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = '', settled = :now WHERE study_id = :study_id AND destination <> ''"
    " AND state IN ('to_stop', 'excluded', 'planned') AND EXISTS (SELECT 1 FROM outbox o WHERE o.study_id = :study_id"
    " AND o.report_id = outbox.report_id AND o.destination = outbox.destination AND o.number > outbox.number"
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
    "UPDATE outbox SET state = 'waiting', reason = '', due = :now, settled = NULL WHERE study_id = :study_id"
    " AND state = 'held' AND reason <> 'move'"
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
_PUT_USER: Final = Statement(
    "INSERT INTO person (user_id, asked, body) VALUES (:user_id, :asked, :body) ON CONFLICT (user_id) DO UPDATE SET"
    " asked = excluded.asked, body = excluded.body WHERE person.asked <= excluded.asked"
)


def uid_key(study_instance_uid: str) -> str:
    """Return a study's UID as the store keeps it, whatever characters it has."""
    return bounded(storable(study_instance_uid))


# A changed claim about a patient: studies held apart from the patient may no longer need to be
_REFRESH_HELD_APART: Final = Statement(
    "INSERT INTO control (verb, argument, asked) SELECT 'refresh', study_id, CAST(:now AS BIGINT) FROM conflict"
    " WHERE patient_id IN listed(:patient_ids) AND study_id <> :study_id"
)


class Outdated(Exception):
    """Another process wrote the study since it was read. It must be fetched and mapped again."""


class OthersMoved(Exception):
    """Another study's claims about its patients changed since the mapping, or the settings in force did.

    Conflicts and destinations must be determined again.
    """


@dataclass(frozen=True, slots=True)
class PatientClaim:
    """Claim of a study about a patient: the Patient as JSON bytes. `is_changed` is False if the claim is as before.

    An unchanged claim leaves a stored body as it is.
    """

    patient_id: str
    body: bytes
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """Study to be stored. `revision` is its revision when it was read, 0 for none; `row` are columns of `study`.

    `accession_number` came from an enrichment event and was used in the mapping. `others` are the claims of other
    studies about its `patient_ids` at the mapping. `rank` tells which of several studies is newest (D12). `pdfs` are
    reports whose PDF must be fetched again; `pdfs_missing` are those whose PDF may be available now. `render` makes a
    Patient from another study's claim. `told` are the destinations and reports owed when the causes were decided.
    `in_force` is the number of the settings that decided them (D37). For a move (D13), the study's earlier state is
    kept. Instants are microseconds.
    """

    study_id: str
    revision: int
    accession_number: str | None
    now: int
    row: Mapping[str, Any]
    reports: Sequence[Mapping[str, Any]]
    resources: Sequence[RenderedVersion]
    issues: Sequence[Mapping[str, Any]]
    claims: Sequence[PatientClaim]
    rank: tuple[str, int]
    patient_ids: Sequence[str]
    others: Sequence[Row]
    users: Sequence[Mapping[str, Any]]
    conflicts: Sequence[str]
    judged: Sequence[Mapping[str, Any]]
    causes: Sequence[Mapping[str, Any]]
    pdfs: Sequence[str]
    pdfs_missing: Sequence[str]
    render: Callable[[bytes], RenderedVersion]
    told: AbstractSet[tuple[str, str]]
    in_force: int
    reindex: bool = False
    is_move: bool = False


def take(taken: Taken) -> Steps[list[WrittenVersion]]:
    """Store a study, and return the versions that were written.

    Raises:
        Outdated: the study must be fetched and mapped again.
        OthersMoved: other studies' claims, or the settings in force, must be read again.
    """
    key = {"study_id": taken.study_id}
    clock = yield from versions.begin(taken.now)
    yield from _see_that_nothing_moved(taken)
    if taken.is_move:
        yield from ask(KEEP_FORMER, **key)
    yield from ask(_PUT_STUDY, **key, **taken.row, revision=taken.revision + 1)
    yield from ask_each(_PUT_REPORT, [{**one, **key, "now": taken.now} for one in taken.reports])
    yield from ask(_DROP_ISSUES, **key)
    yield from ask_each(_ADD_ISSUE, [{**one, **key} for one in taken.issues])
    yield from ask_each(_PUT_USER, taken.users)
    patients = yield from _claim(taken, clock.last)
    written = yield from versions.write(clock, [*taken.resources, *patients], reindex=taken.reindex)
    yield from ask(_END_CONFLICTS, **key, patient_ids=json.dumps(taken.conflicts))
    yield from ask_each(_ADD_CONFLICT, [{**key, "patient_id": one, "now": taken.now} for one in taken.conflicts])
    yield from ask_each(_KEEP_JUDGED, [{**one, **key, "now": taken.now} for one in taken.judged])
    if not taken.reindex:  # an upgrade or a setting sends nothing by itself (D7)
        yield from ask(_LOOK_AGAIN, **key, now=taken.now)
    told_of = dict.fromkeys(one["report_id"] for one in taken.causes if one["kind"] not in _OF_DRAFTS)
    yield from ask_each(_REPLACE_UNROUTED, [{**key, "report_id": one, "now": taken.now} for one in told_of])
    yield from ask_each(ADD_CAUSE, [{**one, **key, "now": taken.now} for one in taken.causes])
    yield from ask(_SAID_BY_NEWER, **key, now=taken.now)
    yield from ask_each(_WAIT_ON, [{**one, **key} for one in taken.causes if one["kind"] == "draft"])
    for statement, report_ids in ((_WANT_PDF, taken.pdfs), (_WANT_MISSING_PDF, taken.pdfs_missing)):
        yield from ask_each(statement, [{**key, "report_id": one, "now": taken.now} for one in report_ids])
    yield from versions.end(clock)
    return written


def _see_that_nothing_moved(taken: Taken) -> Steps[None]:
    rows = yield from ask(REVISION, study_id=taken.study_id)
    if (int(rows[0][0]) if rows else 0) != taken.revision:
        raise Outdated
    rows = yield from ask(ACCESSION, study_instance_uid=taken.row["study_instance_uid"])
    if (rows[0][0] if rows else None) != taken.accession_number:
        raise Outdated
    told = yield from ask(TOLD, study_id=taken.study_id)
    if {(str(destination), str(report_id)) for destination, report_id in told} != taken.told:
        raise Outdated
    latest = yield from ask(LATEST)
    if int(latest[0][0]) != taken.in_force:
        raise OthersMoved
    others = yield from ask(OTHERS, study_id=taken.study_id, patient_ids=json.dumps(taken.patient_ids))
    if [tuple(one) for one in others] != [tuple(one) for one in taken.others]:
        raise OthersMoved


def _claim(taken: Taken, now: int) -> Steps[list[RenderedVersion]]:
    """Store the study's claims; return a Patient for each patient it names or left, from the newest study's claim.

    The Patients are as of `now`, an instant of the store: a later writer has read the claims written here.
    """
    named = [one.patient_id for one in taken.claims]
    claimed = yield from ask(CLAIMED, study_id=taken.study_id)
    left = [str(patient_id) for (patient_id,) in claimed if patient_id not in named]
    rank = {"study_id": taken.study_id, "study_date": taken.rank[0], "signed": taken.rank[1]}
    rows = [
        {**rank, "patient_id": one.patient_id, "body": one.body, "is_changed": int(one.is_changed)}
        for one in taken.claims
    ]
    yield from ask_each(_PUT_CLAIM, rows)
    yield from ask_each(_DROP_CLAIM, [{"patient_id": one, "study_id": taken.study_id} for one in left])
    affected = json.dumps([*(one.patient_id for one in taken.claims if one.is_changed), *left])
    yield from ask(_REFRESH_HELD_APART, study_id=taken.study_id, patient_ids=affected, now=now)
    patients = []
    for patient_id in (*named, *left):
        newest = yield from ask(_NEWEST_CLAIM, patient_id=patient_id)
        patients += [replace(taken.render(bytes(body)), as_of=now) for (body,) in newest]
    return patients
