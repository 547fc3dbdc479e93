"""Revisions of the database schema, each with upgrade and downgrade."""
