"""A shop for an assistant to serve: its database, the tools a model may use, and what keeps its answers to the facts."""
