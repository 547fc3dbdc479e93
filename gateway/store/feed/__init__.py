"""Store what the HL7 feed needs: outbox, messages, lanes (one study's messages), leases, and the ledger."""
