"""Deliver messages to destinations: lease (right to send), read-ahead, sending, results, circuit breaker, journal."""
