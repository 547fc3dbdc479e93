"""Command line: each command parses its arguments, calls the package that does the work, prints, and exits."""
