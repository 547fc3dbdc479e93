"""Plan the effect of a destination's changed settings on reports that were signed before."""
