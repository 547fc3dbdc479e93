"""Study: decoded from AutoScribe's JSON, with its orders, its radiologists and the conclusion of its reports.

Carries out no clause itself: each module names its own.
"""
