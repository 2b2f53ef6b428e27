"""The assistants that a person talks to: one module each, every one also a script (`python -m sagechain.agents.NAME`)."""
