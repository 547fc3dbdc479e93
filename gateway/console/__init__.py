"""Console: web pages for the people of a site, each a view of the answer that a command prints."""
