"""Sandbox for trying the gateway: an AutoScribe look-alike, and an MLLP receiver that can show every fault."""
