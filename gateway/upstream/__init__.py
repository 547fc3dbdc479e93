"""Reads AutoScribe over HTTP."""
