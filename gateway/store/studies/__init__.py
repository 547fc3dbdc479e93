"""Store studies: AutoScribe's JSON, FHIR resource versions, search index, patient identities, and PDFs."""
