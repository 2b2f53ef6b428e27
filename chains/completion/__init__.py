"""Completion of code."""
