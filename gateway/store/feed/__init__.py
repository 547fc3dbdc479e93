"""Tables of the feed: outbox rows, messages, lanes, leases, plans, and the ledger."""
