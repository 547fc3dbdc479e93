"""AutoScribe's webhooks: the endpoint, its events, and the worker that takes their studies in."""
