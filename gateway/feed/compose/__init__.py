"""Compose messages: turn a study's outbox rows (report events to send to a destination) into message bytes."""
