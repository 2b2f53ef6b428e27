from .models import CatalogueEntry as CatalogueEntry
from .models import catalogue as catalogue
from .runtime.local import LocalRuntime as LocalRuntime
from .runtime.local import list_faults as list_faults
