from .downloads import embedded_models as embedded_models
from .downloads import pull as pull
