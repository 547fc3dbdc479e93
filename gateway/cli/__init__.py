"""The commands: each reads its arguments, has the room that knows do the work, prints, and exits."""
