"""What a conversation is invoked with: the messages of a turn, and the configuration that names its thread.

LangGraph ignores unknown keys of an input, and its errors for other mistakes name its own internals.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import MessageLikeRepresentation
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command
from sagechain.prompts import did_you_mean
from typing_extensions import TypedDict

from ..stores.names import no_thread

TURN = '{"messages": [("human", "…")]}'


class ConversationInput(TypedDict):
    """The input of a turn: one message or several, in any form that LangChain reads, such as `("human", "Hi")`."""

    messages: Sequence[MessageLikeRepresentation] | MessageLikeRepresentation


Turn = ConversationInput | Command[Any] | None
"""A new turn; or a decision, or nothing, to continue a stopped one."""


def check_input(turn: Any) -> None:
    """Refuse what is not the input of a turn. None and a `Command` continue a stopped one.

    Raises:
        ValueError: not a mapping, no `messages`, or none in the list.
    """
    if turn is None or isinstance(turn, Command):
        return
    if isinstance(turn, Mapping):
        if "messages" not in turn:
            hints = (f"; it has {name!r}.{hint}" for name in turn if (hint := did_you_mean(str(name), ["messages"])))
            raise ValueError(f"input: it has no 'messages'{next(hints, '.')} Give {TURN}")
        messages = turn["messages"]
    elif hasattr(turn, "messages"):  # the state of a graph around this one may be an object
        messages = turn.messages
    else:
        raise ValueError(f"input: {type(turn).__name__} is not the input of a turn; give {TURN}")
    if messages is None or (isinstance(messages, Sequence) and not messages):
        raise ValueError(f"messages: the list is empty; give at least one message, as in {TURN}")


def nothing_to_continue() -> ValueError:
    """The error for None as input where no turn was stopped."""
    return ValueError(f"input: None continues a stopped turn, and the thread has none; give {TURN}")


def check_configuration(config: Any) -> RunnableConfig | None:
    """The configuration. Raises ValueError on what is not a mapping, and on a thread that is named in the wrong place."""
    if config is not None and (not isinstance(config, Mapping) or "thread_id" in config):
        raise no_thread(config)
    configuration: RunnableConfig | None = config  # type: ignore[assignment]  # a mapping of LangChain's
    return configuration
