"""HTTP below FHIR: headers, formats, bodies, byte ranges, bundles, and OperationOutcomes."""
