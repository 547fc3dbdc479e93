"""Map a study to HL7 v2 messages: oru_r01.py lists the messages that an event causes, and writes each."""
