"""Sandbox for trying the gateway: a look-alike of AutoScribe's API, and an MLLP receiver that can simulate faults."""
