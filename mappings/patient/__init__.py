"""Identify the patient of a report: which identifiers count, and if two descriptions are about one person.

Carries out no clause itself: each module names its own.
"""
