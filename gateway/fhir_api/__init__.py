"""FHIR REST facade: one file per interaction, reading the index and proxying AutoScribe."""
