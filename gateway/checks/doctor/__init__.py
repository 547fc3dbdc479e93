"""Advice of `check-config --online`: seen.py counts what AutoScribe has, advice.py suggests settings."""
