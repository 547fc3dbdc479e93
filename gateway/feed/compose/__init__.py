"""Compose messages: from the outbox rows of a study to the bytes that a destination is sent."""
