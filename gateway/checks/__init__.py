"""Checks before the service starts: settings, destinations, database, AutoScribe; each fault names place and cure."""
