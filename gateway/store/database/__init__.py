"""Package of the database engines, SQLite and PostgreSQL behind one interface: statements, schema, migrations."""
