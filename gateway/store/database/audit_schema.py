"""Tables of loaded audit entries: the segments, the entries, and whom and what each entry is about.

Carries out no clause of a standard. Instants are whole microseconds since 1970 in UTC. The files of the audit journal
are the original; these tables are for searching.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table

from gateway.store.database.columns import (
    METADATA,
    NUMBER,
    TEXT,
    bytes_column,
    key_column,
    number_column,
    text_column,
)

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
