from .plan import format_plan as format_plan
from .plan import plan_preset as plan_preset
