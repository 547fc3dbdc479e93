"""Operator commands of the HL7 feed: `autoscribe-gateway feed …` and `explain`, one file for each command.

Decisions D8, D31, D35.
"""
