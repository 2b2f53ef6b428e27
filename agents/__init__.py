"""The assistants: one module each, which is a chain for programs and a script (`python -m sagechain.agents.NAME`)."""
