"""Alerts of the feed: the conditions, the monitor that looks for them, and the webhook that posts them."""
