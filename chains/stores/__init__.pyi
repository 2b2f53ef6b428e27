from .buffered_turns import BufferedTurns as BufferedTurns
from .memory import PrunableInMemorySaver as PrunableInMemorySaver
from .names import check_name as check_name
from .sqlite import make_private_file as make_private_file
