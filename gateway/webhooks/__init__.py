"""AutoScribe's webhooks: the endpoint that receives events, and the worker that ingests the studies concerned."""
