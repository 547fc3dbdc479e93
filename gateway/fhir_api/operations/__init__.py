"""FHIR operations: `$addendum`, `$validate`, `$everything`, `$docref`, `$trace`, `$hl7v2`."""
