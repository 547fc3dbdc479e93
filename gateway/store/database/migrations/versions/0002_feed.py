"""Add the tables and outbox columns for sending messages: messages, destinations with leases, stopped studies.

https://alembic.sqlalchemy.org/en/latest/tutorial.html: written out, since a migration must not change with the code.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KINDS: Final[dict[str, Any]] = {
    "number": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    "text": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
    "bytes": sa.LargeBinary(),
}
_COUNTED: Final = frozenset({"message", "audit"})

# Column of `outbox` -> kind, and the default for existing rows; None: nullable
_ADDED: Final[dict[str, tuple[str, str | None]]] = {
    "reason": ("text", "''"),
    "due": ("number", "0"),
    "priority": ("number", "1"),
    "is_critical": ("number", "0"),
    "replay": ("number", "0"),
    "signed": ("number", None),
    "settled": ("number", None),
}
# Table -> its primary key, then its columns by kind; `?` marks nullable columns
_TABLES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "message": (
        "number",
        {
            "number": "number outbox is_whole is_draft is_critical priority size attempts doubts due made sent?"
            " committed? accepted? closed? superseded_by? signed? has_body",
            "text": "destination study_id report_id kind content_version control_id restates filler_order_numbers"
            " report_ids patient_id state reason ack",
        },
    ),
    "message_body": (
        "number",
        {
            "number": "number",
            "bytes": "body",
        },
    ),
    "sent_number": (
        "destination study_id report_id filler_order_number",
        {
            "number": "place since",
            "text": "destination study_id report_id filler_order_number patient_id",
        },
    ),
    "lane": (
        "destination study_id",
        {
            "number": "culprit? since",
            "text": "destination study_id reason",
        },
    ),
    "destination": (
        "name",
        {
            "number": "fence expires paused_since?",
            "text": "name holder paused",
        },
    ),
    "audit": (
        "number",
        {
            "number": "number at",
            "text": "verb argument reason",
        },
    ),
}
# Index -> table and columns
_INDEXES: Final[dict[str, tuple[str, str]]] = {
    "message_by_state": ("message", "destination state priority number"),
    "message_by_lane": ("message", "destination study_id number"),
    "message_by_study": ("message", "study_id"),
    "outbox_by_due": ("outbox", "destination state due"),
    "outbox_by_signed": ("outbox", "destination state signed"),
    "report_by_signed": ("report", "signed report_id"),
}


def upgrade() -> None:
    """Add the columns and tables of the feed."""
    for name, (kind, default) in _ADDED.items():
        server_default = None if default is None else sa.text(default)
        op.add_column("outbox", sa.Column(name, _KINDS[kind], nullable=default is None, server_default=server_default))
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
        )
    for index, (table, columns) in _INDEXES.items():
        op.create_index(index, table, columns.split())
    has_body = sa.text("has_body = 1")
    op.create_index("message_by_closed", "message", ["closed"], sqlite_where=has_body, postgresql_where=has_body)
    unaccepted = sa.text("accepted IS NULL AND committed IS NOT NULL")
    committed = "message_by_committed", "message", ["destination", "committed"]
    op.create_index(*committed, sqlite_where=unaccepted, postgresql_where=unaccepted)
    op.create_index("message_by_control_id", "message", ["destination", "control_id"], unique=True)


def downgrade() -> None:
    """Drop the feed's tables and columns; return outbox rows with unsent messages to `waiting`."""
    op.execute(
        "UPDATE outbox SET state = 'waiting' WHERE state = 'held' OR number IN (SELECT outbox FROM message"
        " WHERE state IN ('queued', 'sending', 'indeterminate', 'held'))"
    )
    for name in reversed(_TABLES):
        op.drop_table(name)
    for name in ("outbox_by_due", "outbox_by_signed"):
        op.drop_index(name, "outbox")
    op.drop_index("report_by_signed", "report")
    for name in reversed(_ADDED):
        op.drop_column("outbox", name)
