from .llm import LLAMA_CPP_NAMES as LLAMA_CPP_NAMES
