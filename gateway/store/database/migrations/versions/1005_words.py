"""Add the table of the words of reports, which a search by `_content` reads.

https://www.sqlite.org/fts5.html#the_ascii_tokenizer: the words come folded, with one space between.
https://www.postgresql.org/docs/current/gin.html#GIN-FAST-UPDATE: a short list of what is not yet in the index, which
each search reads.
"""

from __future__ import annotations

from alembic import op

revision = "1005"
down_revision = "1004"


def upgrade() -> None:
    """Create the table, empty."""
    if op.get_context().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE report_words USING fts5 (words, tokenize = 'ascii')")
        return
    op.execute("CREATE TABLE report_words (rowid BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)")
    op.execute(
        "CREATE INDEX report_words_by_word ON report_words USING gin (words) WITH (gin_pending_list_limit = 512)"
    )


def downgrade() -> None:
    """Drop the table: nobody finds a report by its words any more."""
    op.drop_table("report_words")
