from .llm import LLAMA_CPP_NAMES as LLAMA_CPP_NAMES
from .signals import ctrl_c_ends_loading as ctrl_c_ends_loading
