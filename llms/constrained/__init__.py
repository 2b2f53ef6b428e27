"""Constrained decoding: the grammar of an answer, and the part of JSON schema that a grammar can express."""
