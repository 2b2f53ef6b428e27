"""The local SageMaker runtime: `local.py` starts it, `server.py` speaks HTTP, `containers/` answers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
