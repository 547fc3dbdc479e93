"""Client of the AutoScribe REST API: requests, retries, pace, and the reading of answers."""
