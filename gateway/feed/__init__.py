"""HL7 v2 feed to destinations: composing, delivery over MLLP, HTTP or files, alerts, and operator commands."""
