"""FHIR operations, such as `$validate` and `$trace`, a module for each; routes.py registers them."""
