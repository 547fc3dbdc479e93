"""Compression dictionaries for stored JSON, one numbered file for each kind of row."""
