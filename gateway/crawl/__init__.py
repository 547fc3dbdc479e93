"""Crawl AutoScribe without end, page by page, since it has no change feed; have each stale study ingested."""
