"""The tables of the store, as SQLAlchemy Core has them: the migrations make them, the statements speak of them.

Carries out no clause of a standard. Instants are whole microseconds since 1970 in UTC; truth values are 0 and 1; ids
are those of AutoScribe (`stu_…`, `rep_…`), an address is `Type/id` as FHIR has it. Text is compared byte by byte.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    literal_column,
)

METADATA: Final = MetaData()

_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")
_TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
_BYTES: Final = LargeBinary()


def _key(name: str) -> Column[str]:
    return Column(name, _TEXT, primary_key=True)


def _text(name: str, *, needed: bool = True) -> Column[str]:
    return Column(name, _TEXT, nullable=not needed)


def _number(name: str, *, needed: bool = True) -> Column[int]:
    return Column(name, _NUMBER, nullable=not needed)


def _bytes(name: str, *, needed: bool = True) -> Column[bytes]:
    return Column(name, _BYTES, nullable=not needed)


# One row: the last instant given to a version and the last number given to a resource. Who writes versions holds it.
TICK: Final = Table(
    "tick",
    METADATA,
    Column("one", _NUMBER, primary_key=True, autoincrement=False),
    _number("last"),
    _number("resource"),
    sqlite_strict=True,
)
# What is true of the store as a whole: the check value of the site key, the zone of the index
FACT: Final = Table("fact", METADATA, _key("name"), _text("value"), sqlite_strict=True)
# A study as received and as kept: `received` and `kept` are zlib-compressed JSON; `revision` counts its changes
STUDY: Final = Table(
    "study",
    METADATA,
    _key("study_id"),
    _text("study_instance_uid", needed=False),
    _number("revision"),
    _number("is_external"),
    _number("has_signed"),
    _number("has_warnings"),
    _text("listed_digest"),
    _text("received_digest"),
    _bytes("received"),
    _bytes("kept"),
    _number("fetched"),
    _number("listed"),
    sqlite_strict=True,
)
REPORT: Final = Table(
    "report",
    METADATA,
    _key("report_id"),
    _text("study_id"),
    _text("status"),
    _number("is_addendum"),
    _number("signed", needed=False),
    _number("first_seen"),
    _number("first_seen_signed", needed=False),
    sqlite_strict=True,
)
# The current version of a resource; `as_of` is when its source was asked, for what several studies speak of
RESOURCE: Final = Table(
    "resource",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    _text("address"),
    _text("type"),
    _text("owner"),
    _number("version"),
    _number("updated"),
    _number("as_of"),
    _number("is_suppressed"),
    sqlite_strict=True,
)
# Every version as the bytes that are served; `faults` is JSON where its judge rejects it (D2)
VERSION: Final = Table(
    "version",
    METADATA,
    _number("resource"),
    _number("version"),
    _number("updated"),
    _text("faults", needed=False),
    _bytes("body"),
    PrimaryKeyConstraint("resource", "version"),
    sqlite_strict=True,
)
# What current versions are found by: tokens, references and strings in `term`, dates in `moment`
TERM: Final = Table(
    "term",
    METADATA,
    _number("resource"),
    _number("key"),
    _text("value"),
    PrimaryKeyConstraint("resource", "key", "value"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
MOMENT: Final = Table(
    "moment",
    METADATA,
    _number("resource"),
    _number("key"),
    _number("low"),
    _number("high"),
    PrimaryKeyConstraint("resource", "key", "low", "high"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
# What each study says of a patient id; the current Patient is what the newest study says (D12)
CLAIM: Final = Table(
    "claim",
    METADATA,
    _text("patient_id"),
    _text("study_id"),
    _text("study_date"),
    _number("signed"),
    _bytes("body"),
    PrimaryKeyConstraint("patient_id", "study_id"),
    sqlite_strict=True,
)
# Studies whose reports are held apart from a patient id that they name, and what an operator decided (D12)
CONFLICT: Final = Table(
    "conflict",
    METADATA,
    _text("patient_id"),
    _text("study_id"),
    _number("since"),
    PrimaryKeyConstraint("patient_id", "study_id"),
    sqlite_strict=True,
)
VERDICT: Final = Table(
    "verdict",
    METADATA,
    _text("patient_id"),
    _text("study_id"),
    _text("verdict"),
    _text("reason"),
    _number("decided"),
    PrimaryKeyConstraint("patient_id", "study_id"),
    sqlite_strict=True,
)
# A user as AutoScribe had it last, for when it no longer knows it: compressed JSON
USER: Final = Table("person", METADATA, _key("user_id"), _number("asked"), _bytes("body"), sqlite_strict=True)
# What could not be mapped as it came (D4), as of the last look at the study
ISSUE: Final = Table(
    "issue",
    METADATA,
    _text("study_id"),
    _number("place"),
    _text("code"),
    _text("severity"),
    _text("pointer"),
    _text("action"),
    PrimaryKeyConstraint("study_id", "place"),
    sqlite_strict=True,
)
CURSOR: Final = Table("cursor", METADATA, _key("name"), _text("value"), sqlite_strict=True)
WEBHOOK: Final = Table(
    "webhook",
    METADATA,
    _key("webhook_id"),
    _text("event_id"),
    _text("kind"),
    _text("body"),
    _number("received"),
    _text("state"),
    _number("due"),
    _number("attempts"),
    _text("code"),
    sqlite_strict=True,
)
# What patient_study.enrichment_requested said (D18)
ENRICHMENT: Final = Table(
    "enrichment",
    METADATA,
    _key("study_instance_uid"),
    _text("accession_number", needed=False),
    _text("patient_id", needed=False),
    _number("kept"),
    sqlite_strict=True,
)
# A request that must not run twice, by digests of its key and of itself: until when somebody holds it (0: nobody does),
# what was written before it was sent, and its answer once that is known, both JSON without anything a client typed
IDEMPOTENCY: Final = Table(
    "idempotency",
    METADATA,
    _key("key"),
    _text("request"),
    _text("sent", needed=False),
    _text("answer", needed=False),
    _number("held"),
    _number("created"),
    sqlite_strict=True,
)
# A report's PDF: wanted, kept (its chunks are those of `generation`) or unavailable (D28)
PDF: Final = Table(
    "pdf",
    METADATA,
    _key("report_id"),
    _text("study_id"),
    _text("state"),
    _number("due"),
    _number("attempts"),
    _text("code"),
    _text("generation", needed=False),
    _number("size", needed=False),
    _text("sha1", needed=False),
    _number("kept", needed=False),
    sqlite_strict=True,
)
PDF_CHUNK: Final = Table(
    "pdf_chunk",
    METADATA,
    _text("generation"),
    _number("place"),
    _bytes("data"),
    PrimaryKeyConstraint("generation", "place"),
    sqlite_strict=True,
)
# What is to be told to whom: decided in the transaction that stored the study (D7); of no destination: `unrouted`
OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    _text("study_id"),
    _text("report_id"),
    _text("kind"),
    _text("content_version"),
    _text("destination"),
    _text("state"),
    _number("is_move"),
    _number("decided"),
    sqlite_strict=True,
)
# What an operator's command asks of the service, and that it was done
CONTROL: Final = Table(
    "control",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    _text("verb"),
    _text("argument"),
    _number("asked"),
    _number("done", needed=False),
    sqlite_strict=True,
)

_SUPPRESSED: Final = RESOURCE.c.is_suppressed == literal_column("1")

INDEXES: Final = (
    Index("study_by_uid", STUDY.c.study_instance_uid),
    Index("study_by_listed", STUDY.c.has_signed, STUDY.c.listed),
    Index("study_by_fetched", STUDY.c.fetched),
    Index("report_by_study", REPORT.c.study_id),
    Index("resource_by_address", RESOURCE.c.address, unique=True),
    Index("resource_by_update", RESOURCE.c.type, RESOURCE.c.updated),
    Index("resource_suppressed", RESOURCE.c.type, sqlite_where=_SUPPRESSED, postgresql_where=_SUPPRESSED),
    Index("resource_by_owner", RESOURCE.c.owner),
    Index("term_forward", TERM.c.key, TERM.c.value, TERM.c.resource),
    Index("moment_forward", MOMENT.c.key, MOMENT.c.low, MOMENT.c.high, MOMENT.c.resource),
    Index("claim_by_study", CLAIM.c.study_id),
    Index("conflict_by_study", CONFLICT.c.study_id),
    Index("verdict_by_study", VERDICT.c.study_id),
    Index("issue_by_code", ISSUE.c.code),
    Index("webhook_by_event", WEBHOOK.c.event_id, unique=True),
    Index("webhook_by_due", WEBHOOK.c.state, WEBHOOK.c.due),
    Index("idempotency_by_created", IDEMPOTENCY.c.created),
    Index("pdf_by_due", PDF.c.state, PDF.c.due),
    Index("pdf_by_study", PDF.c.study_id),
    Index("outbox_by_study", OUTBOX.c.study_id),
    Index("outbox_by_state", OUTBOX.c.destination, OUTBOX.c.state, OUTBOX.c.number),
    Index("control_by_done", CONTROL.c.done, CONTROL.c.number),
)
