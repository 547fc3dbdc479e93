"""Alembic environment: run migrations on an SQLite connection, or write an SQL script for PostgreSQL.

https://alembic.sqlalchemy.org/en/latest/offline.html
"""

from __future__ import annotations

from alembic import context

from gateway.store.database.schema import METADATA

connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
else:
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        transactional_ddl=False,  # the caller runs the script in a transaction
        output_buffer=context.config.output_buffer,
    )
with context.begin_transaction():
    context.run_migrations()
