"""Database code for sending HL7 v2 messages: outbox, messages, lanes (one study's messages), leases, ledger."""
