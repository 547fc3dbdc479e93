"""Plan how changed settings of a destination affect reports signed before the change: to send, stop or send again."""
