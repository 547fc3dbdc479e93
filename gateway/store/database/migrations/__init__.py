"""The versions of the schema, each with its way up and down."""
