"""Language models that run in different places, each a LangChain model with the same parameters and errors.

llm = load_llm("sagemaker:my-falcon?family=falcon", temperature=0.2, max_new_tokens=200)   # text in, text out
chat = load_chat_model("local:smollm2")                                                     # messages in, message out
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
