"""Tables of the database, declared in SQLAlchemy Core, for migrations and SQL statements.

Carries out no clause of a standard. Instants are whole microseconds since 1970 in UTC; truth values are 0 and 1. Ids
are AutoScribe's (`stu_…`, `rep_…`); an address is `Type/id` as in FHIR. The files of the audit journal are the
original; its tables are for searching. No row of authentication holds a secret: keys are public, passwords are hashed,
and tokens and assertions are kept as SHA-256 digests. feed_schema.py and orders_schema.py have the other tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, literal_column

from gateway.store.database.columns import (
    METADATA,
    NUMBER,
    TEXT,
    bytes_column,
    default_column,
    key_column,
    number_column,
    text_column,
)
from gateway.store.database.feed_schema import FEED_INDEXES
from gateway.store.database.orders_schema import ORDERS_INDEXES

# How far a segment is loaded: its last loaded sequence, and the byte behind that line
AUDIT_SEGMENT: Final = Table(
    "audit_segment",
    METADATA,
    key_column("segment"),
    number_column("sequence"),
    number_column("size"),
    sqlite_strict=True,
)
AUDIT_ENTRY: Final = Table(
    "audit_entry",
    METADATA,
    Column("segment", TEXT),
    Column("sequence", NUMBER, autoincrement=False),
    number_column("at"),
    text_column("client"),
    text_column("kind"),
    number_column("status"),
    bytes_column("entry"),
    PrimaryKeyConstraint("segment", "sequence"),
    sqlite_strict=True,
)
# `subject` is the address (`Type/id`) of a resource that was shown, or of a patient concerned
AUDIT_SUBJECT: Final = Table(
    "audit_subject",
    METADATA,
    Column("subject", TEXT),
    Column("at", NUMBER, autoincrement=False),
    Column("segment", TEXT),
    Column("sequence", NUMBER, autoincrement=False),
    PrimaryKeyConstraint("subject", "at", "segment", "sequence"),
    sqlite_strict=True,
)

AUDIT_INDEXES: Final = (
    Index("audit_entry_by_at", AUDIT_ENTRY.c.at),
    Index("audit_entry_by_client", AUDIT_ENTRY.c.client, AUDIT_ENTRY.c.at),
)


# Client of the FHIR facade. `scopes` is one text, as in a token request; `facilities` is a JSON list, NULL: all
CLIENT: Final = Table(
    "client",
    METADATA,
    key_column("client_id"),
    text_column("name"),
    number_column("created"),
    number_column("expires", needed=False),
    number_column("disabled", needed=False),
    text_column("scopes"),
    text_column("facilities", needed=False),
    sqlite_strict=True,
)
# Key set of a client, either a document (JWKS) or its URL; `ends` is when a replaced one stops being valid
CLIENT_KEY_SET: Final = Table(
    "client_key_set",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("client_id"),
    text_column("document", needed=False),
    text_column("url", needed=False),
    number_column("added"),
    number_column("ends", needed=False),
    sqlite_strict=True,
)
# Assertion that was used once, kept until it expires
USED_ASSERTION: Final = Table(
    "used_assertion", METADATA, key_column("digest"), number_column("until"), sqlite_strict=True
)
ACCESS_TOKEN: Final = Table(
    "access_token",
    METADATA,
    key_column("digest"),
    text_column("client_id"),
    text_column("scopes"),
    number_column("issued"),
    number_column("expires"),
    number_column("revoked", needed=False),
    sqlite_strict=True,
)
# Local account of the console. `password` is an argon2id hash; failures in a row lock it until an instant
OPERATOR: Final = Table(
    "operator",
    METADATA,
    key_column("name"),
    text_column("role"),
    text_column("password"),
    number_column("created"),
    number_column("changed"),
    default_column("failures", 0),
    default_column("locked_until", 0),
    sqlite_strict=True,
)
# Somebody who is signed in. `account` is an operator's name, NULL: of the identity provider, whose groups are
# `member_of` (a JSON list); `hint` is encrypted
CONSOLE_SESSION: Final = Table(
    "console_session",
    METADATA,
    key_column("digest"),
    text_column("subject"),
    text_column("name"),
    text_column("account", needed=False),
    text_column("member_of"),
    number_column("began"),
    number_column("seen"),
    bytes_column("hint", needed=False),
    sqlite_strict=True,
)

AUTH_INDEXES: Final = (
    Index("client_by_name", CLIENT.c.name, unique=True),
    Index("client_key_set_by_client", CLIENT_KEY_SET.c.client_id),
    Index("used_assertion_by_until", USED_ASSERTION.c.until),
    Index("access_token_by_expires", ACCESS_TOKEN.c.expires),
    Index("access_token_by_client", ACCESS_TOKEN.c.client_id),
    Index("console_session_by_subject", CONSOLE_SESSION.c.subject),
    Index("console_session_by_seen", CONSOLE_SESSION.c.seen),
)


__all__ = ["INDEXES", "METADATA"]

_ON_SQLITE: Final = {"dialect": "sqlite"}
_ON_POSTGRESQL: Final = {"dialect": "postgresql"}

# One row: the last instant given to a version and the last resource number. A writer of versions locks it
TICK: Final = Table(
    "tick",
    METADATA,
    Column("one", NUMBER, primary_key=True, autoincrement=False),
    number_column("last"),
    number_column("resource"),
    sqlite_strict=True,
)
# Facts about the whole store: check value of the site key, time zone of the index
FACT: Final = Table("fact", METADATA, key_column("name"), text_column("value"), sqlite_strict=True)
# Study as received and as stored: `received` and `kept` are compressed JSON; `revision` counts its changes;
# `has_warnings` is 1 if a search may warn of its identity conflicts
STUDY: Final = Table(
    "study",
    METADATA,
    key_column("study_id"),
    text_column("study_instance_uid", needed=False),
    number_column("revision"),
    number_column("is_external"),
    number_column("has_signed"),
    number_column("has_warnings"),
    text_column("listed_digest"),
    text_column("received_digest"),
    bytes_column("received"),
    bytes_column("kept"),
    number_column("fetched"),
    number_column("listed"),
    sqlite_strict=True,
)
REPORT: Final = Table(
    "report",
    METADATA,
    key_column("report_id"),
    text_column("study_id"),
    text_column("status"),
    number_column("is_addendum"),
    number_column("signed", needed=False),
    number_column("first_seen"),
    number_column("first_seen_signed", needed=False),
    sqlite_strict=True,
)
# Current version of a resource. `as_of` is when its source was read, for resources that several studies describe.
# `term_set` is the number of the terms in `term` that it shares with others, null if it shares none
RESOURCE: Final = Table(
    "resource",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    text_column("address"),
    text_column("type"),
    text_column("owner"),
    number_column("version"),
    number_column("updated"),
    number_column("as_of"),
    number_column("is_suppressed"),
    number_column("term_set", needed=False),
    sqlite_strict=True,
)
# Every version as compressed JSON (gateway/store/compression). `faults` is JSON if the validator rejects it (D2)
VERSION: Final = Table(
    "version",
    METADATA,
    number_column("resource"),
    number_column("version"),
    number_column("updated"),
    text_column("faults", needed=False),
    bytes_column("body"),
    PrimaryKeyConstraint("resource", "version"),
    sqlite_strict=True,
)
# Search index of current versions: tokens, references and strings in `term`, dates in `moment`. In PostgreSQL they have
# no key, and indexes that hold equal values once. A writer has the lock of `tick`, and drops before it adds
TERM: Final = Table(
    "term",
    METADATA,
    number_column("resource"),
    number_column("key"),
    text_column("value"),
    PrimaryKeyConstraint("resource", "key", "value").ddl_if(dialect="sqlite"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
MOMENT: Final = Table(
    "moment",
    METADATA,
    number_column("resource"),
    number_column("key"),
    number_column("low"),
    number_column("high"),
    PrimaryKeyConstraint("resource", "key", "low", "high").ddl_if(dialect="sqlite"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# Signed report that AutoScribe cancelled, with its study or (an addendum) by itself, and what an operator decided (D21)
CANCELLED_REPORT: Final = Table(
    "cancelled_report",
    METADATA,
    key_column("report_id"),
    text_column("study_id"),
    text_column("what"),
    text_column("version"),
    text_column("state"),
    number_column("is_critical"),
    number_column("since"),
    sqlite_strict=True,
)
# Each study's claim about a patient id. The current Patient comes from the newest study's claim (D12). `content` is a
# digest of `body`
CLAIM: Final = Table(
    "claim",
    METADATA,
    text_column("patient_id"),
    text_column("study_id"),
    text_column("study_date"),
    number_column("signed"),
    bytes_column("body"),
    text_column("content"),
    PrimaryKeyConstraint("patient_id", "study_id"),
    sqlite_strict=True,
)
# Studies in conflict with a patient id that they name, and the operator's verdict on each (D12). `judged` has digests
# of the persons judged, which the next ingest writes. `reopened` is since when another person is named
CONFLICT: Final = Table(
    "conflict",
    METADATA,
    text_column("patient_id"),
    text_column("study_id"),
    number_column("since"),
    PrimaryKeyConstraint("patient_id", "study_id"),
    sqlite_strict=True,
)
VERDICT: Final = Table(
    "verdict",
    METADATA,
    text_column("patient_id"),
    text_column("study_id"),
    text_column("verdict"),
    text_column("reason"),
    number_column("decided"),
    default_column("judged", ""),
    number_column("reopened", needed=False),
    PrimaryKeyConstraint("patient_id", "study_id"),
    sqlite_strict=True,
)
# User as AutoScribe last returned it, for when AutoScribe no longer knows the user: compressed JSON
USER: Final = Table(
    "person", METADATA, key_column("user_id"), number_column("asked"), bytes_column("body"), sqlite_strict=True
)
# Mapping issues: values that could not be mapped as received (D4), as of the study's last ingest
ISSUE: Final = Table(
    "issue",
    METADATA,
    text_column("study_id"),
    number_column("place"),
    text_column("code"),
    text_column("severity"),
    text_column("pointer"),
    text_column("action"),
    PrimaryKeyConstraint("study_id", "place"),
    sqlite_strict=True,
)
# Studies that the crawl has yet to read, with the process that has claimed each until `due`; PostgreSQL alone
TO_READ: Final = Table(
    "to_read",
    METADATA,
    key_column("study_id"),
    text_column("loop"),
    text_column("listed", needed=False),
    number_column("due"),
    number_column("asked"),
    number_column("attempts"),
    text_column("holder"),
    sqlite_strict=True,
)
# Processes that share the crawl, and until when AutoScribe asked each to wait; PostgreSQL alone
CRAWLER: Final = Table(
    "crawler",
    METADATA,
    key_column("holder"),
    number_column("joined"),
    number_column("until"),
    number_column("closed"),
    sqlite_strict=True,
)
CURSOR: Final = Table("cursor", METADATA, key_column("name"), text_column("value"), sqlite_strict=True)
WEBHOOK: Final = Table(
    "webhook",
    METADATA,
    key_column("webhook_id"),
    text_column("event_id"),
    text_column("kind"),
    text_column("body"),
    number_column("received"),
    text_column("state"),
    number_column("due"),
    number_column("attempts"),
    text_column("code"),
    sqlite_strict=True,
)
# Order identifiers from `patient_study.enrichment_requested` (D18)
ENRICHMENT: Final = Table(
    "enrichment",
    METADATA,
    key_column("study_instance_uid"),
    text_column("accession_number", needed=False),
    text_column("patient_id", needed=False),
    number_column("kept"),
    sqlite_strict=True,
)
# Patient number that AutoScribe was told in answer to a question about a study (D48). `is_own` is 1 if AutoScribe had
# said it itself: any other is no evidence when it comes back
ENRICHMENT_ANSWER: Final = Table(
    "enrichment_answer",
    METADATA,
    text_column("study_instance_uid"),
    text_column("number"),
    number_column("is_own"),
    number_column("answered"),
    PrimaryKeyConstraint("study_instance_uid", "number"),
    sqlite_strict=True,
)
# Request that must not run twice, by digests of its key and of itself. `held` is until when a process has it (0: none
# has). `sent` was written before it was sent, and `answer` when it was answered; both are JSON without client text
IDEMPOTENCY: Final = Table(
    "idempotency",
    METADATA,
    key_column("key"),
    text_column("request"),
    text_column("sent", needed=False),
    text_column("answer", needed=False),
    number_column("held"),
    number_column("created"),
    sqlite_strict=True,
)
# PDF of a report: wanted, kept (its chunks have this `generation`) or unavailable (D28)
PDF: Final = Table(
    "pdf",
    METADATA,
    key_column("report_id"),
    text_column("study_id"),
    text_column("state"),
    number_column("due"),
    number_column("attempts"),
    text_column("code"),
    text_column("generation", needed=False),
    number_column("size", needed=False),
    text_column("sha1", needed=False),
    number_column("kept", needed=False),
    sqlite_strict=True,
)
PDF_CHUNK: Final = Table(
    "pdf_chunk",
    METADATA,
    text_column("generation"),
    number_column("place"),
    bytes_column("data"),
    PrimaryKeyConstraint("generation", "place"),
    sqlite_strict=True,
)
# Study that was erased on order: HMAC of its id under the site key, so that no crawl brings it back
ERASED: Final = Table("erased", METADATA, key_column("digest"), number_column("erased"), sqlite_strict=True)
# Requests from operators' commands to the service, and when each was done
CONTROL: Final = Table(
    "control",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("verb"),
    text_column("argument"),
    number_column("asked"),
    number_column("done", needed=False),
    sqlite_strict=True,
)

_SUPPRESSED: Final = RESOURCE.c.is_suppressed == literal_column("1")
_SHARES: Final = RESOURCE.c.term_set.is_not(None)
_SHARES_NONE: Final = RESOURCE.c.term_set.is_(None)

INDEXES: Final = (
    *FEED_INDEXES,
    *ORDERS_INDEXES,
    *AUDIT_INDEXES,
    *AUTH_INDEXES,
    Index("study_by_uid", STUDY.c.study_instance_uid),
    Index("study_by_listed", STUDY.c.has_signed, STUDY.c.listed),
    Index("study_by_fetched", STUDY.c.fetched),
    Index("report_by_study", REPORT.c.study_id),
    Index("report_by_signed", REPORT.c.signed, REPORT.c.report_id),
    Index("cancelled_by_study", CANCELLED_REPORT.c.study_id),
    Index("cancelled_by_state", CANCELLED_REPORT.c.state, CANCELLED_REPORT.c.since),
    Index("resource_by_address", RESOURCE.c.address, unique=True),
    Index("resource_by_update", RESOURCE.c.type, RESOURCE.c.updated),
    Index("resource_suppressed", RESOURCE.c.type, sqlite_where=_SUPPRESSED, postgresql_where=_SUPPRESSED),
    Index("resource_by_owner", RESOURCE.c.owner),
    Index("resource_by_term_set", RESOURCE.c.term_set, sqlite_where=_SHARES, postgresql_where=_SHARES),
    Index("resource_without_set", RESOURCE.c.type, sqlite_where=_SHARES_NONE, postgresql_where=_SHARES_NONE),
    Index("version_by_update", VERSION.c.updated, VERSION.c.resource),
    Index("to_read_by_due", TO_READ.c.due),
    Index("term_forward", TERM.c.key, TERM.c.value, TERM.c.resource, info=_ON_SQLITE).ddl_if(dialect="sqlite"),
    Index("term_by_value", TERM.c.key, TERM.c.value, info=_ON_POSTGRESQL).ddl_if(dialect="postgresql"),
    Index("term_by_resource", TERM.c.resource, info=_ON_POSTGRESQL).ddl_if(dialect="postgresql"),
    Index("moment_forward", MOMENT.c.key, MOMENT.c.low, MOMENT.c.high, MOMENT.c.resource, info=_ON_SQLITE).ddl_if(
        dialect="sqlite"
    ),
    Index("moment_by_low", MOMENT.c.key, MOMENT.c.low, MOMENT.c.high, info=_ON_POSTGRESQL).ddl_if(dialect="postgresql"),
    Index("moment_by_resource", MOMENT.c.resource, info=_ON_POSTGRESQL).ddl_if(dialect="postgresql"),
    Index("claim_by_study", CLAIM.c.study_id),
    Index(
        "claim_by_content", CLAIM.c.patient_id, CLAIM.c.content, CLAIM.c.study_date, CLAIM.c.signed, CLAIM.c.study_id
    ),
    Index("conflict_by_study", CONFLICT.c.study_id),
    Index("verdict_by_study", VERDICT.c.study_id),
    Index("issue_by_code", ISSUE.c.code),
    Index("webhook_by_event", WEBHOOK.c.event_id, unique=True),
    Index("webhook_by_due", WEBHOOK.c.state, WEBHOOK.c.due),
    Index("idempotency_by_created", IDEMPOTENCY.c.created),
    Index("pdf_by_due", PDF.c.state, PDF.c.due),
    Index("pdf_by_study", PDF.c.study_id),
    Index("control_by_done", CONTROL.c.done, CONTROL.c.number),
)
