"""The chain-of-thought family: `chain.py` runs a strategy, `strategies.py` holds them, `asking.py` asks the model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
