from .base import check_name as check_name
from .memory import PrunableInMemorySaver as PrunableInMemorySaver
