"""Package of the checks before the service starts, a module for each: settings, destinations, database, AutoScribe."""
