"""Plan what changed settings of a destination mean for reports that were signed before."""
