"""Sandbox for trying the gateway: an AutoScribe look-alike, and receivers with every fault."""
