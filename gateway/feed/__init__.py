"""Sends HL7 v2 messages to their receivers over MLLP."""
