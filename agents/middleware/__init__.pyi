from .deadlines import OutOfTime as OutOfTime
from .invalid_calls import InvalidCalls as InvalidCalls
from .repeated_calls import RepeatedCalls as RepeatedCalls
from .tool_failures import ToolTimeLimit as ToolTimeLimit
from .tool_failures import tool_errors as tool_errors
from .turn_limits import TurnLimit as TurnLimit
