from .plan import plan_preset as plan_preset
from .plan_text import format_plan as format_plan
