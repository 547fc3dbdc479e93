"""Audit journal: who saw which data of which patient, in sealed files, loaded into the database behind."""
