from .errors import Diverged as Diverged
from .errors import NothingLeft as NothingLeft
from .errors import PretrainingError as PretrainingError
from .exporting import export as export
from .preparing import prepare as prepare
from .training import train as train
