"""MLLP over TCP and TLS, and nothing else: for the feed, and for the receivers of the sandbox."""
