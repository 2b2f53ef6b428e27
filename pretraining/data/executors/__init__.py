"""Where the passes of `prepare` run: in this process, in worker processes, on Slurm or on Ray."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
