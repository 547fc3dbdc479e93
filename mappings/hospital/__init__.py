"""Orders, visits and patient numbers of a hospital, apart from the form in which they came, and which study they fit.

Carries out no clause itself: each module names its own.
"""
