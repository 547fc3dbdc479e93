"""HL7 v2 feed: composes messages from outbox rows and delivers them over MLLP or HTTP; alerts and operators."""
