"""The index: what of a resource is searched for, and what a search parameter asks of it. Pure."""
