"""Rows of what hospitals send: inbound messages, orders, visits, number changes, and matches with studies."""
