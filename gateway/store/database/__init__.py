"""SQLite and PostgreSQL behind one interface: SQL statements, schema, and migrations."""
