"""Tables of studies: what AutoScribe sent, resource versions, the search index, identities, PDFs."""
