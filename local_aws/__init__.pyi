from .failures import list_failures as list_failures
from .inference.faults import list_faults as list_faults
from .runtime import LocalRuntime as LocalRuntime
