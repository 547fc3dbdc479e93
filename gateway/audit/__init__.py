"""Audit journal: who saw which data of which patient, in sealed files that are copied into the database afterwards."""
