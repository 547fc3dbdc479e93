"""FHIR search index, without I/O: compute index rows of a resource, and match criteria of a search parameter."""
