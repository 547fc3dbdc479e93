"""Create the schema of release 1.0.0, room by room: studies, feed, orders, audit, authentication.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
https://www.postgresql.org/docs/current/btree.html#BTREE-DEDUPLICATION: an index of few columns holds equal values once,
so the search index has no key in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "1000"
down_revision = None

_KINDS: Final[dict[str, Any]] = {
    "number": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    "text": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
    "bytes": sa.LargeBinary(),
}

# Table -> its primary key, then its columns, in runs of one kind; `?` marks nullable columns, `=` a default
_Tables = dict[str, tuple[str, ...]]
_STUDIES: Final[_Tables] = {
    "tick": ("one", "number one last resource"),
    "fact": ("name", "text name value"),
    "study": (
        "study_id",
        *("text study_id", "text? study_instance_uid", "text listed_digest received_digest"),
        *("number revision is_external has_signed has_warnings fetched listed", "bytes received kept"),
    ),
    "report": (
        "report_id",
        *("text report_id study_id status", "number is_addendum", "number? signed", "number first_seen"),
        "number? first_seen_signed",
    ),
    "resource": (
        "number",
        *("number number version updated as_of is_suppressed", "text address type owner", "number? term_set"),
    ),
    "version": ("resource version", "number resource version updated", "text? faults", "bytes body"),
    "cancelled_report": ("report_id", "text report_id study_id what version state", "number is_critical since"),
    "claim": (
        "patient_id study_id",
        *("text patient_id study_id study_date", "number signed", "bytes body", "text content"),
    ),
    "conflict": ("patient_id study_id", "text patient_id study_id", "number since"),
    "verdict": (
        "patient_id study_id",
        *("text patient_id study_id verdict reason", "number decided", "text='' judged", "number? reopened"),
    ),
    "person": ("user_id", "text user_id", "number asked", "bytes body"),
    "issue": ("study_id place", "text study_id code severity pointer action", "number place"),
    "to_read": ("study_id", "text study_id loop", "text? listed", "number due asked attempts", "text holder"),
    "crawler": ("holder", "text holder", "number joined until closed"),
    "cursor": ("name", "text name value"),
    "webhook": ("webhook_id", "text webhook_id event_id kind body state code", "number received due attempts"),
    "enrichment": (
        "study_instance_uid",
        *("text study_instance_uid", "text? accession_number patient_id", "number kept"),
    ),
    "enrichment_answer": ("study_instance_uid number", "text study_instance_uid number", "number is_own answered"),
    "idempotency": ("key", "text key request", "text? sent answer", "number held created"),
    "pdf": (
        "report_id",
        *("text report_id study_id state code", "text? generation sha1", "number due attempts", "number? size kept"),
    ),
    "pdf_chunk": ("generation place", "text generation", "number place", "bytes data"),
    "erased": ("digest", "text digest", "number erased"),
    "control": ("number", "number number asked", "number? done", "text verb argument"),
}
# The search index: without a key in PostgreSQL
_TERMS: Final[_Tables] = {
    "term": ("resource key value", "number resource key", "text value"),
    "moment": ("resource key low high", "number resource key low high"),
}
_FEED: Final[_Tables] = {
    "outbox": (
        "number",
        *("number number is_move decided", "text study_id report_id kind content_version destination state"),
        *("text='' reason", "number=0 due", "number=1 priority", "number=0 is_critical replay"),
        "number? signed settled",
    ),
    "former": ("study_id revision", "number revision", "text study_id", "bytes kept"),
    "message": (
        "number",
        "number number outbox is_whole is_draft is_critical priority size attempts doubts due made",
        *("number? sent committed accepted closed superseded_by signed", "number has_body"),
        "text destination study_id report_id kind content_version control_id restates filler_order_numbers report_ids",
        *("text patient_id state reason ack", "text='' body_hash remarks", "number? stale_until", "text='' told"),
        *("number? reported", "text='' statuses"),
    ),
    "message_body": ("number", "number number", "bytes body"),
    "attempt": (
        "message place",
        *("number message place", "number? begun", "number ended", "text state reason ack connection"),
        "bytes answer",
    ),
    "sent_number": (
        "destination study_id report_id filler_order_number",
        *("number place since", "text destination study_id report_id filler_order_number patient_id"),
    ),
    "lane": ("destination study_id", "number? culprit", "number since", "text destination study_id reason"),
    "destination": (
        "name",
        *("number fence expires", "number? paused_since", "text name holder paused", "text='' became origin"),
        "number=0 retired",
    ),
    "in_force": (
        "number",
        "number number since",
        "number? planned",
        "number unasked",
        "text name digest settings",
    ),
    "audit": ("number", "number number at", "text verb argument reason user host"),
    "alert": (
        "code destination",
        *("text code destination", "number count", "text cases told studies", "number=0 acknowledged"),
        *("number? acknowledged_at", "text='' acknowledged_by"),
    ),
}
_ORDERS: Final[_Tables] = {
    "inbound": (
        "number",
        *("number number", "text source sender control_id digest structure", "number received", "text state code"),
        *("number? settled", "bytes? body", "number=0 is_again"),
    ),
    "inbound_key": ("key inbound", "text key", "number inbound"),
    "source": ("name", "text name", "number first_seen", "text='' became origin"),
    "hospital_order": (
        "number",
        *("number number", "text source", "number revision first_at last_at applied", "bytes body"),
    ),
    "order_key": ("key hospital_order", "text key", "number hospital_order"),
    "visit": ("key at inbound", "text key", "number at inbound", "bytes body"),
    "number_change": (
        "number",
        *("number number", "text source kind authority type_code prior surviving surviving_text control_id"),
        *("number at", "text held"),
    ),
    "study_key": ("key study_id", "text key study_id"),
    "order_match": ("study_id", "text study_id verdict reason orders", "number since", "text? sent_orders"),
    "order_verdict": ("study_id", "text study_id verdict orders reason", "number decided"),
    "order_news": ("number", "number number", "text study_id destination code outcome", "number at"),
}
_AUDIT: Final[_Tables] = {
    "audit_segment": ("segment", "text segment", "number sequence size"),
    "audit_entry": (
        "segment sequence",
        *("text segment", "number sequence at", "text client kind", "number status", "bytes entry"),
    ),
    "audit_subject": ("subject at segment sequence", "text subject", "number at", "text segment", "number sequence"),
}
_AUTH: Final[_Tables] = {
    "client": (
        "client_id",
        *("text client_id name", "number created", "number? expires disabled", "text scopes", "text? facilities"),
    ),
    "client_key_set": (
        "number",
        *("number number", "text client_id", "text? document url", "number added", "number? ends"),
    ),
    "used_assertion": ("digest", "text digest", "number until"),
    "access_token": ("digest", "text digest client_id scopes", "number issued expires", "number? revoked"),
}
_ROOMS: Final = (_STUDIES, _TERMS, _FEED, _ORDERS, _AUDIT, _AUTH)
# Tables whose number the database gives, and those of SQLite that are only an index
_COUNTED: Final = frozenset(
    "control outbox message in_force audit inbound hospital_order number_change order_news client_key_set".split()  # noqa: SIM905
)
_WITHOUT_ROWID: Final = frozenset({*_TERMS, "attempt"})

# Index -> table, columns, and the rows that it has, if not all
_INDEXES: Final[dict[str, tuple[str, ...]]] = {
    "study_by_uid": ("study", "study_instance_uid"),
    "study_by_listed": ("study", "has_signed listed"),
    "study_by_fetched": ("study", "fetched"),
    "report_by_study": ("report", "study_id"),
    "report_by_signed": ("report", "signed report_id"),
    "resource_by_address": ("resource", "address"),
    "resource_by_update": ("resource", "type updated"),
    "resource_suppressed": ("resource", "type", "is_suppressed = 1"),
    "resource_by_owner": ("resource", "owner"),
    "resource_by_term_set": ("resource", "term_set", "term_set IS NOT NULL"),
    "resource_without_set": ("resource", "type", "term_set IS NULL"),
    "version_by_update": ("version", "updated resource"),
    "cancelled_by_study": ("cancelled_report", "study_id"),
    "cancelled_by_state": ("cancelled_report", "state since"),
    "claim_by_study": ("claim", "study_id"),
    "claim_by_content": ("claim", "patient_id content study_date signed study_id"),
    "conflict_by_study": ("conflict", "study_id"),
    "verdict_by_study": ("verdict", "study_id"),
    "issue_by_code": ("issue", "code"),
    "to_read_by_due": ("to_read", "due"),
    "webhook_by_event": ("webhook", "event_id"),
    "webhook_by_due": ("webhook", "state due"),
    "idempotency_by_created": ("idempotency", "created"),
    "pdf_by_due": ("pdf", "state due"),
    "pdf_by_study": ("pdf", "study_id"),
    "control_by_done": ("control", "done number"),
    "outbox_by_study": ("outbox", "study_id"),
    "outbox_by_state": ("outbox", "destination state number"),
    "outbox_by_due": ("outbox", "destination state due"),
    "outbox_by_signed": ("outbox", "destination state signed"),
    "message_by_state": ("message", "destination state priority number"),
    "message_by_lane": ("message", "destination study_id number"),
    "message_by_study": ("message", "study_id"),
    "message_by_patient": ("message", "patient_id"),
    "message_by_closed": ("message", "closed", "has_body = 1"),
    "message_by_committed": ("message", "destination committed", "accepted IS NULL AND committed IS NOT NULL"),
    "message_by_stale": ("message", "destination stale_until", "stale_until IS NOT NULL"),
    "message_by_control_id": ("message", "destination control_id"),
    "in_force_by_name": ("in_force", "name number"),
    "alert_by_destination": ("alert", "destination"),
    "inbound_waiting": ("inbound", "source number", "state = 'waiting'"),
    "inbound_troubled": ("inbound", "state settled", "state IN ('held', 'failed')"),
    "inbound_by_digest": ("inbound", "source digest"),
    "inbound_by_received": ("inbound", "received"),
    "inbound_key_by_inbound": ("inbound_key", "inbound"),
    "hospital_order_by_applied": ("hospital_order", "applied"),
    "order_key_by_order": ("order_key", "hospital_order"),
    "visit_by_at": ("visit", "at"),
    "number_change_by_prior": ("number_change", "kind authority prior surviving type_code"),
    "number_change_by_surviving": ("number_change", "kind authority surviving"),
    "study_key_by_study": ("study_key", "study_id"),
    "order_match_by_verdict": ("order_match", "verdict since"),
    "order_news_by_outcome": ("order_news", "destination outcome at"),
    "order_news_by_study": ("order_news", "study_id"),
    "audit_entry_by_at": ("audit_entry", "at"),
    "audit_entry_by_client": ("audit_entry", "client at"),
    "client_by_name": ("client", "name"),
    "client_key_set_by_client": ("client_key_set", "client_id"),
    "used_assertion_by_until": ("used_assertion", "until"),
    "access_token_by_expires": ("access_token", "expires"),
    "access_token_by_client": ("access_token", "client_id"),
}
_UNIQUE: Final = frozenset(
    ("resource_by_address", "webhook_by_event", "message_by_control_id", "number_change_by_prior", "client_by_name")
)
_TERM_INDEXES: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "sqlite": {
        "term_forward": ("term", "key value resource"),
        "moment_forward": ("moment", "key low high resource"),
    },
    "postgresql": {
        "term_by_value": ("term", "key value"),
        "term_by_resource": ("term", "resource"),
        "moment_by_low": ("moment", "key low high"),
        "moment_by_resource": ("moment", "resource"),
    },
}


def upgrade() -> None:
    """Create the tables, the indexes, the row of `tick`, and PostgreSQL's sequence of resource numbers."""
    dialect = op.get_context().dialect.name
    for tables in _ROOMS:
        for name, (key, *runs) in tables.items():
            has_key = dialect == "sqlite" or tables is not _TERMS
            _create_table(name, key if has_key else "", runs)
    for index, (table, columns, *where) in (_INDEXES | _TERM_INDEXES[dialect]).items():
        rows = sa.text(where[0]) if where else None
        is_unique = index in _UNIQUE
        op.create_index(index, table, columns.split(), unique=is_unique, sqlite_where=rows, postgresql_where=rows)
    op.execute("INSERT INTO tick (one, last, resource) VALUES (1, 0, 0)")
    if dialect == "postgresql":
        op.execute("CREATE SEQUENCE resource_number")


def downgrade() -> None:
    """Drop the tables and their rows."""
    for tables in _ROOMS:
        for name in tables:
            op.drop_table(name)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP SEQUENCE resource_number")


def _create_table(name: str, key: str, runs: list[str]) -> None:
    op.create_table(
        name,
        *_columns(runs, is_counted=name in _COUNTED),
        *([sa.PrimaryKeyConstraint(*key.split())] if key else []),
        sqlite_strict=True,
        sqlite_with_rowid=name not in _WITHOUT_ROWID,
    )


def _columns(runs: list[str], *, is_counted: bool) -> Iterator[sa.Column[Any]]:
    for run in runs:
        form, *names = run.split()
        kind, has_default, default = form.rstrip("?").partition("=")
        given = sa.text(default) if has_default else None
        for name in names:
            yield sa.Column(
                name, _KINDS[kind], nullable=form.endswith("?"), server_default=given, autoincrement=is_counted
            )
