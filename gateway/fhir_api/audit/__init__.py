"""Audit of the facade: record who saw what before each answer, and serve those records as AuditEvents."""
