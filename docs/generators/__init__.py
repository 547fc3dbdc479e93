"""Generators of the documents' tables, from the code that they describe."""
