"""FHIR search: parse the query, run the search, page through the matches, add includes and warnings."""
