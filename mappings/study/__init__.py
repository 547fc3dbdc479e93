"""Study decoded from AutoScribe's JSON, with orders, radiologists, and the conclusion of each report.

Carries out no clause itself: each module names its own.
"""
