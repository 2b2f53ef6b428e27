"""Training of a GPT-2 on prepared data."""
