"""What every command and agent script shares: exit codes, error lines, common options, the terminal loop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
