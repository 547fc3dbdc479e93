"""Follow a study over time: last known values, the status of each report, and changes that cause messages.

Carries out no clause itself: each module names its own.
"""
