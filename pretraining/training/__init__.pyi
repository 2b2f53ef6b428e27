from .settings import load_preset as load_preset
from .train import checked_settings as checked_settings
