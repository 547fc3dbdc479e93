"""Keeps what was seen."""
