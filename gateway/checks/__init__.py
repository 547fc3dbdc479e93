"""Checks before the service starts: settings, destinations, database, AutoScribe; each fault names its remedy."""
