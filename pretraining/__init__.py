"""Pretrain a GPT-2 "CodeParrot" from scratch: corpus, tokenizer, packing, training, report, export.

prepare("stdlib", "data")                 # code → documents, tokenizer, tokens
train("data", "run", preset="demo")       # tokens → weights; resumes where it stopped
export("run", "codeparrot")               # an ordinary Hugging Face checkpoint
run("stdlib", "out")                      # all of these
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
