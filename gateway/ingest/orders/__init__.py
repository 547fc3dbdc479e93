"""Receive and apply what hospitals send: orders, visits, and merged or changed numbers."""
