"""Alerts of the feed: conditions, the monitor that checks them, and the webhook that posts them."""
