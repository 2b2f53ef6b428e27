from .runtime.local import LocalRuntime as LocalRuntime
