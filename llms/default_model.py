"""The model where none is named: for `load_llm()`, `load_chat_model()` and every command's `-m`."""

import os

DEFAULT_MODEL = "local:smollm2"
MODEL_VARIABLE = "SAGECHAIN_MODEL"
"""The environment variable that names another one."""


def default_model() -> str:
    """The URI in `SAGECHAIN_MODEL`, else that of the embedded model."""
    return os.environ.get(MODEL_VARIABLE, "").strip() or DEFAULT_MODEL
