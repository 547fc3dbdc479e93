"""Store of studies, FHIR resource versions, outbox rows and messages, in SQLite or PostgreSQL."""
