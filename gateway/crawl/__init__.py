"""Crawl AutoScribe, which has no change feed: list studies without end, and ingest each new or changed study."""
