"""Store of studies, resource versions, outbox rows and messages in SQLite or PostgreSQL."""
