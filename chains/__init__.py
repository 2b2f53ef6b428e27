"""Chains: conversation, chain of thought and completion of code, written once and run over every model.

graph = conversation(load_chat_model("local:smollm2"), system="Be brief.")
chain = chain_of_thought(load_llm("local:smollm2"), strategy="few-shot-cot", task="arithmetic")
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
