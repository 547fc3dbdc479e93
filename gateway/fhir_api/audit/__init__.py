"""Audit of the facade: note who saw what before each answer, and serve what was noted as AuditEvents."""
