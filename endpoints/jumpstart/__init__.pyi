from .images import wire_of_image as wire_of_image
from .models import catalogue as catalogue
from .models import catalogue_entry as catalogue_entry
from .specs import JumpStartSpec as JumpStartSpec
from .specs import jumpstart_spec as jumpstart_spec
