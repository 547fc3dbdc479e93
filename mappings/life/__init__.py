"""Life of a study: its last known values, the status of its reports, and the changes that cause messages.

Carries out no clause itself: each module names its own.
"""
