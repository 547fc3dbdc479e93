"""Store an ingested study in one transaction, unless it changed since it was read; versions.py writes resources.

Carries out no clause of a standard; decisions D7, D12, D25. The state read before the mapping is compared with the
present one. If another process has changed it, nothing is written, and `Outdated` or `OthersMoved` is raised.
Proved by tests/contract/test_pipeline_races.py and tests/contract/test_verdicts.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.in_force import LATEST
from gateway.store.feed.moves import KEEP_FORMER
from gateway.store.studies import versions
from gateway.store.studies.erased import is_marked
from gateway.store.studies.known_claims import claims_about, renewed
from gateway.store.studies.known_study import ACCESSION, TOLD, KnownStudy
from gateway.store.studies.versions import RenderedVersion, WrittenVersion

if TYPE_CHECKING:
    from gateway.store.studies.study_write import StudyWrite  # it imports the validator, which is slow to load

USERS: Final = Statement("SELECT user_id, body FROM person WHERE user_id IN listed(:user_ids)")
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
    "INSERT INTO claim (patient_id, study_id, study_date, signed, body, content) VALUES (:patient_id, :study_id,"
    " :study_date, :signed, :body, :content) ON CONFLICT (patient_id, study_id) DO UPDATE SET"
    " study_date = excluded.study_date, signed = excluded.signed, body = excluded.body, content = excluded.content"
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
# A changed claim about a patient: studies held apart from the patient may no longer need to be
_REFRESH_HELD_APART: Final = Statement(
    "INSERT INTO control (verb, argument, asked) SELECT 'refresh', study_id, CAST(:now AS BIGINT) FROM conflict"
    " WHERE patient_id IN listed(:patient_ids) AND study_id <> :study_id"
)


class Outdated(Exception):
    """Another process wrote the study since it was read. It must be fetched and mapped again."""


class OthersMoved(Exception):
    """Claims about the study's patients, or the settings in force, changed: the write must be planned again."""


def store_study(write: StudyWrite, known: KnownStudy, site_key: bytes) -> Steps[list[WrittenVersion]]:
    """Store a study, and return the versions that were written. `known` is its state when the write was planned.

    A study that was erased on order meanwhile is not stored.

    Raises:
        Outdated: the study must be fetched and mapped again.
        OthersMoved: the claims about its patients, and the settings in force, must be read again.
    """
    key = {"study_id": write.study_id}
    clock = yield from versions.begin(write.now)
    yield from _see_that_nothing_moved(write, known)
    if known.revision == 0 and (yield from is_marked(write.study_id, site_key)):
        raise Outdated
    if write.is_move:
        yield from ask(KEEP_FORMER, **key)
    yield from ask(_PUT_STUDY, **key, **write.row, revision=known.revision + 1)
    yield from ask_each(_PUT_REPORT, [{**one, **key, "now": write.now} for one in write.reports])
    yield from ask(_DROP_ISSUES, **key)
    yield from ask_each(_ADD_ISSUE, [{**one, **key} for one in write.issues])
    yield from ask_each(_PUT_USER, write.users)
    yield from renewed(known.claims)
    patients = yield from _claim(write, clock.last)
    written = yield from versions.write(clock, [*write.resources, *patients], reindex=write.reindex)
    yield from ask(_END_CONFLICTS, **key, patient_ids=json.dumps(write.conflicts))
    yield from ask_each(_ADD_CONFLICT, [{**key, "patient_id": one, "now": write.now} for one in write.conflicts])
    yield from ask_each(_KEEP_JUDGED, [{**one, **key, "now": write.now} for one in write.judged])
    if not write.reindex:  # an upgrade or a setting sends nothing by itself (D7)
        yield from ask(_LOOK_AGAIN, **key, now=write.now)
    told_of = dict.fromkeys(one["report_id"] for one in write.causes if one["kind"] not in _OF_DRAFTS)
    yield from ask_each(_REPLACE_UNROUTED, [{**key, "report_id": one, "now": write.now} for one in told_of])
    yield from ask_each(ADD_CAUSE, [{**one, **key, "now": write.now} for one in write.causes])
    yield from ask(_SAID_BY_NEWER, **key, now=write.now)
    yield from ask_each(_WAIT_ON, [{**one, **key} for one in write.causes if one["kind"] == "draft"])
    for statement, report_ids in ((_WANT_PDF, write.pdfs), (_WANT_MISSING_PDF, write.pdfs_missing)):
        yield from ask_each(statement, [{**key, "report_id": one, "now": write.now} for one in report_ids])
    yield from versions.end(clock)
    return written


def _see_that_nothing_moved(write: StudyWrite, known: KnownStudy) -> Steps[None]:
    rows = yield from ask(REVISION, study_id=write.study_id)
    if (int(rows[0][0]) if rows else 0) != known.revision:
        raise Outdated
    rows = yield from ask(ACCESSION, study_instance_uid=write.row["study_instance_uid"])
    if (rows[0][0] if rows else None) != known.accession_number:
        raise Outdated
    told = yield from ask(TOLD, study_id=write.study_id)
    if {(str(name), str(report_id)) for name, report_id in told} != {
        (name, report_id) for name, report_ids in known.told.items() for report_id in report_ids
    }:
        raise Outdated
    latest = yield from ask(LATEST)
    if int(latest[0][0]) != write.in_force:
        raise OthersMoved
    claims = yield from claims_about(known.claims_of, write.study_id)
    if claims != list(known.claims):
        raise OthersMoved


def _claim(write: StudyWrite, now: int) -> Steps[list[RenderedVersion]]:
    """Store the study's claims; return the Patients, as of `now`: a later writer has read the claims written here."""
    key = {"study_id": write.study_id}
    yield from ask_each(_PUT_CLAIM, [{**one, **key} for one in write.claims])
    yield from ask_each(_DROP_CLAIM, [{**key, "patient_id": one} for one in write.claims_left])
    changed = [one["patient_id"] for one in write.claims if one["is_changed"]]
    affected = json.dumps([*changed, *write.claims_left])
    yield from ask(_REFRESH_HELD_APART, **key, patient_ids=affected, now=now)
    return [replace(patient, as_of=now) for patient in write.patients]
