"""The demo: conversations, chain of thought and code completion on this machine, and a code model trained in 20 seconds."""
