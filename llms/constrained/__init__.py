"""Decoding held to a schema."""
