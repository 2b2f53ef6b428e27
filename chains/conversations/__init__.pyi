from .history import History as History
from .threads import LEFT as LEFT
from .threads import Conversation as Conversation
from .threads import GivenUp as GivenUp
