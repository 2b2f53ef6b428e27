"""Where documents come from: the standard library, files and folders, Hugging Face data sets.

source = open_source("stdlib")                      # or PATH, hf:NAME[@REVISION][#CONFIG], hf:FOLDER[#CONFIG]
source.check()                                      # ValueError where it does not exist
sha256 = source.write_listing(Path("inputs.jsonl"))
reader = SourceReader(source, Path("inputs.jsonl"), max_bytes=1_000_000)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
