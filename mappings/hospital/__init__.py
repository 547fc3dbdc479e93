"""Orders, visits and patient numbers of a hospital, whatever messages they came in, and the studies they match.

Carries out no clause itself: each module names its own.
"""
