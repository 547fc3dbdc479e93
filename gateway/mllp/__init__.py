"""MLLP over TCP and TLS, without knowledge of messages: for the feed, and for the receivers of the sandbox."""
