from .plan import described as described
from .plan import plan_preset as plan_preset
