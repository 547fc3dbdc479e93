"""Authenticate clients and say what each may see: SMART Backend Services, scopes, tokens, and the bearer gate."""
