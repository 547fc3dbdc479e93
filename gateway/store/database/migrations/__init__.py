"""Revisions of the schema, each with its upgrade and downgrade."""
