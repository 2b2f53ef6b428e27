"""Chain of thought: `chain.py` runs a strategy, `strategies.py` contains them, `prompting.py` sends their prompts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
