"""FHIR operations: `$addendum`, `$cancel-addendum`, `$validate`, `$everything`, `$docref`, `$trace`, `$hl7v2`."""
