"""Ground of every process: clock, log, metrics, errors, loops, and the server."""
