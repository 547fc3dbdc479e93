"""Deliver messages to destinations: lease (right to send), lookahead, sending, results, circuit breaker, journal."""
