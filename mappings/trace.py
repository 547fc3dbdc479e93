"""Which source leaf moves which target element, measured: one leaf is changed, everything mapped again and compared.

Carries out no clause of a standard: it is decision D6, the lineage of a report.
"""
