from .models import CatalogueEntry as CatalogueEntry
from .models import catalogue as catalogue
from .runtime.control_faults import list_failures as list_failures
from .runtime.faults import list_faults as list_faults
from .runtime.local import LocalRuntime as LocalRuntime
