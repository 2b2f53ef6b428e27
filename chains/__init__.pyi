from .answers import extract_answer as extract_answer
from .answers import same_answer as same_answer
from .conversations import areset as areset
from .conversations import conversation as conversation
from .conversations import reset as reset
from .reasoning.chain import chain_of_thought as chain_of_thought
from .reasoning.chain import list_strategies as list_strategies
from .reasoning.outcome import Reasoning as Reasoning
