"""Follow a study over time: last known values, report status, and the changes that cause messages.

Carries out no clause itself: each module names its own.
"""
