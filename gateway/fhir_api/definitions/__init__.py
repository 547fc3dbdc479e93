"""Definitions of the gateway's own: extensions, codes, identifier systems, search parameters, operations."""
