"""Endpoints for operators and monitoring: liveness, readiness, metrics."""
