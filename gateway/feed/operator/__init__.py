"""Operator commands of the feed: `autoscribe-gateway feed …`, one file for each command (D8, D31, D35)."""
