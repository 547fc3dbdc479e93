"""FHIR search: reading a query, running it, paging, includes, and warnings."""
