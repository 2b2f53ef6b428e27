"""What a model writes: does it parse, and is it copied."""
