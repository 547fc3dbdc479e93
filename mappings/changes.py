"""What happened to a study between two looks at it: the causes of v2 messages, and which signed reports changed.

HL7 v2.5.1 table 0123 (why a result is sent again), decisions D16, D20, D21, D22.
"""
