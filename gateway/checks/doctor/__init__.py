"""Package of the advice of `check-config --online`: seen.py counts what AutoScribe has, advice.py suggests settings."""
