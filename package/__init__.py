"""One chain API over Llama 2 and Falcon on SageMaker, small local models, and a CodeParrot that you pretrain yourself.

from sagechain import conversation, load_chat_model

chat = conversation(load_chat_model("local:smollm2"))
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
