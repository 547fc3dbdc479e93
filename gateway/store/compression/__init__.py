"""Compression of what the store keeps: numbered dictionaries, and the stored form of resources and studies."""
