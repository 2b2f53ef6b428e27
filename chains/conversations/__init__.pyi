from .history import History as History
from .run_input import ConversationInput as ConversationInput
from .run_input import Turn as Turn
from .run_input import check_configuration as check_configuration
from .threads import STREAM_CLOSED as STREAM_CLOSED
from .threads import Conversation as Conversation
from .threads import StreamClosed as StreamClosed
