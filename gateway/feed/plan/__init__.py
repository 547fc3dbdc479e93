"""Plan what changed settings of a destination mean for reports signed before: to send, to stop, or to send again."""
