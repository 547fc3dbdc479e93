"""Search index, pure: index rows of a resource, and criteria of a search parameter."""
