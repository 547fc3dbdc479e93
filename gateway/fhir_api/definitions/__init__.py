"""Package of what the gateway defines itself: extensions, codes, identifier systems, search parameters, operations."""
