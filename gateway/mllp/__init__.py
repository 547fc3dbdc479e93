"""MLLP protocol over TCP and TLS, for sending HL7 v2 messages and for the sandbox's receivers."""
