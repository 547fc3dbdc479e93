"""Database code for studies: AutoScribe's JSON, FHIR resource versions, search index, patient identities, PDFs."""
