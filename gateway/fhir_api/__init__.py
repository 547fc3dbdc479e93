"""The FHIR REST facade, one file per interaction."""
