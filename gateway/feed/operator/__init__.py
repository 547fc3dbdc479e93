"""The operator's hand on the feed: `autoscribe-gateway feed …`, a file for each command (D8, D31, D35)."""
