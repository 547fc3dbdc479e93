"""The command line: each command parses its arguments, calls the room that does the work, prints, and exits."""
