"""Compose messages: turn the outbox rows of a study into the bytes for a destination."""
