"""Checks before the service starts, a module for each subject: settings, destinations, database, AutoScribe."""
