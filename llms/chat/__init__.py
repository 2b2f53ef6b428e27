"""The chat model over any text model."""
