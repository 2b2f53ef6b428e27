"""The assistants that a person talks to: one module each, every one also a script (`python -m sagechain.agents.NAME`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
