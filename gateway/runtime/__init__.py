"""Basics of every gateway process: clock, log, metrics, errors, background loops, and the HTTP server."""
