from .history import History as History
from .threads import STREAM_CLOSED as STREAM_CLOSED
from .threads import Conversation as Conversation
from .threads import StreamClosed as StreamClosed
