"""Generators of the tables in the documents, from the code that they describe."""
