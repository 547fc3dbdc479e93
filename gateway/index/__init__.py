"""Search index, pure: the values by which a resource is found, and the criteria of a search parameter."""
