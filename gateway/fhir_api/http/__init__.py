"""HTTP layer of the FHIR API: headers, formats, bodies, byte ranges, bundles, and OperationOutcomes."""
