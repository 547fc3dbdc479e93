"""Values that both outputs write: dates, texts, names, units, and the codes of an examination.

Carries out no clause itself: each module names its own.
"""
