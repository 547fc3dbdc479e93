"""Identify the patient of a report: which identifiers count, and whether two descriptions are of one person.

Carries out no clause itself: each module names its own.
"""
