"""Client of the AutoScribe REST API: requests, retries, limits on load, and strict reading of answers."""
