"""Prompt families and the prompt library: how messages become the text that a model was trained on.

get_family("falcon").render([HumanMessage("Hi")])   # RenderedPrompt(text="User: Hi\\nAssistant:", stop=(…))
load_prompt("chatbot").format()                     # a prompt of the library, by name
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
