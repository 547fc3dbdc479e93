"""Package of the database code: studies, FHIR versions, outbox rows and messages, in SQLite or PostgreSQL."""
