"""Brings studies in: read through when asked for one."""
