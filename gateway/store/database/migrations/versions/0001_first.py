"""Create the first schema: studies, reports, FHIR resources, search index, outbox, PDFs, webhooks.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KINDS: Final[dict[str, Any]] = {
    "number": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    "text": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
    "bytes": sa.LargeBinary(),
}
_COUNTED: Final = frozenset({"outbox", "control"})
_WITHOUT_ROWID: Final = frozenset({"term", "moment"})

# Table -> its primary key, then its columns by kind; `?` marks nullable columns
_TABLES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "claim": (
        "patient_id study_id",
        {
            "text": "patient_id study_id study_date",
            "number": "signed",
            "bytes": "body",
        },
    ),
    "conflict": (
        "patient_id study_id",
        {
            "text": "patient_id study_id",
            "number": "since",
        },
    ),
    "control": (
        "number",
        {
            "number": "number asked done?",
            "text": "verb argument",
        },
    ),
    "cursor": (
        "name",
        {
            "text": "name value",
        },
    ),
    "enrichment": (
        "study_instance_uid",
        {
            "text": "study_instance_uid accession_number? patient_id?",
            "number": "kept",
        },
    ),
    "fact": (
        "name",
        {
            "text": "name value",
        },
    ),
    "idempotency": (
        "key",
        {
            "text": "key request sent? answer?",
            "number": "held created",
        },
    ),
    "issue": (
        "study_id place",
        {
            "text": "study_id code severity pointer action",
            "number": "place",
        },
    ),
    "moment": (
        "resource key low high",
        {
            "number": "resource key low high",
        },
    ),
    "outbox": (
        "number",
        {
            "number": "number is_move decided",
            "text": "study_id report_id kind content_version destination state",
        },
    ),
    "pdf": (
        "report_id",
        {
            "text": "report_id study_id state code generation? sha1?",
            "number": "due attempts size? kept?",
        },
    ),
    "pdf_chunk": (
        "generation place",
        {
            "text": "generation",
            "number": "place",
            "bytes": "data",
        },
    ),
    "person": (
        "user_id",
        {
            "text": "user_id",
            "number": "asked",
            "bytes": "body",
        },
    ),
    "report": (
        "report_id",
        {
            "text": "report_id study_id status",
            "number": "is_addendum signed? first_seen first_seen_signed?",
        },
    ),
    "resource": (
        "number",
        {
            "number": "number version updated as_of is_suppressed",
            "text": "address type owner",
        },
    ),
    "study": (
        "study_id",
        {
            "text": "study_id study_instance_uid? listed_digest received_digest",
            "number": "revision is_external has_signed has_warnings fetched listed",
            "bytes": "received kept",
        },
    ),
    "term": (
        "resource key value",
        {
            "number": "resource key",
            "text": "value",
        },
    ),
    "tick": (
        "one",
        {
            "number": "one last resource",
        },
    ),
    "verdict": (
        "patient_id study_id",
        {
            "text": "patient_id study_id verdict reason",
            "number": "decided",
        },
    ),
    "version": (
        "resource version",
        {
            "number": "resource version updated",
            "text": "faults?",
            "bytes": "body",
        },
    ),
    "webhook": (
        "webhook_id",
        {
            "text": "webhook_id event_id kind body state code",
            "number": "received due attempts",
        },
    ),
}
# Index -> table and columns; unique indexes stand below
_INDEXES: Final[dict[str, tuple[str, str]]] = {
    "study_by_uid": ("study", "study_instance_uid"),
    "study_by_listed": ("study", "has_signed listed"),
    "study_by_fetched": ("study", "fetched"),
    "report_by_study": ("report", "study_id"),
    "resource_by_update": ("resource", "type updated"),
    "resource_by_owner": ("resource", "owner"),
    "term_forward": ("term", "key value resource"),
    "moment_forward": ("moment", "key low high resource"),
    "claim_by_study": ("claim", "study_id"),
    "conflict_by_study": ("conflict", "study_id"),
    "verdict_by_study": ("verdict", "study_id"),
    "issue_by_code": ("issue", "code"),
    "webhook_by_due": ("webhook", "state due"),
    "idempotency_by_created": ("idempotency", "created"),
    "pdf_by_due": ("pdf", "state due"),
    "pdf_by_study": ("pdf", "study_id"),
    "outbox_by_study": ("outbox", "study_id"),
    "outbox_by_state": ("outbox", "destination state number"),
    "control_by_done": ("control", "done number"),
}
_UNIQUE: Final[dict[str, tuple[str, str]]] = {
    "resource_by_address": ("resource", "address"),
    "webhook_by_event": ("webhook", "event_id"),
}


def upgrade() -> None:
    """Create the tables and the row of `tick`."""
    for name, (key, kinds) in _TABLES.items():
        op.create_table(
            name,
            *(
                sa.Column(
                    column.rstrip("?"), _KINDS[kind], nullable=column.endswith("?"), autoincrement=name in _COUNTED
                )
                for kind, columns in kinds.items()
                for column in columns.split()
            ),
            sa.PrimaryKeyConstraint(*key.split()),
            sqlite_strict=True,
            sqlite_with_rowid=name not in _WITHOUT_ROWID,
        )
    for indexes, is_unique in ((_INDEXES, False), (_UNIQUE, True)):
        for name, (table, columns) in indexes.items():
            op.create_index(name, table, columns.split(), unique=is_unique)
    suppressed = sa.text("is_suppressed = 1")
    op.create_index("resource_suppressed", "resource", ["type"], sqlite_where=suppressed, postgresql_where=suppressed)
    op.execute("INSERT INTO tick (one, last, resource) VALUES (1, 0, 0)")


def downgrade() -> None:
    """Drop the tables and their rows."""
    for name in reversed(_TABLES):
        op.drop_table(name)
