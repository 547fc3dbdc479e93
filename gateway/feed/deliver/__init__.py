"""Deliver messages to destinations: leases, lookahead, sending, results, the circuit breaker, the journal."""
