"""A shop with an assistant: catalogue, orders, the tools of the model, and the middleware that puts products before it."""
