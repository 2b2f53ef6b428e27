"""Take back the last turn of a thread, or send its message again in place of it.

undo(graph, "ada")                                                   # as if the turn had not happened
graph.invoke({"messages": again(last_turn(graph, "ada"))}, thread)   # another answer; if it fails, the turn stays
"""

from collections.abc import Sequence
from typing import cast

from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from ..stores.base import Store
from ..stores.buffered_turns import BufferedTurns
from ..turns import turn_starts
from .history import MAX_TURNS
from .threads import Conversation


def last_turn(graph: Conversation, thread_id: str) -> list[BaseMessage]:
    """The messages of a thread's last turn, the person's first; empty if there is none."""
    return _last_turn(_messages(graph, _config(thread_id)))


def again(turn: Sequence[BaseMessage]) -> list[AnyMessage]:
    """The input that replaces a turn: its messages are removed, and the person's are sent again."""
    removals = [RemoveMessage(str(message.id)) for message in turn]
    questions = [HumanMessage(message.content) for message in turn if message.type == "human"]
    # LangGraph's reducer takes removals; its type of a state's messages lacks them.
    return cast(list[AnyMessage], [*removals, *questions])


def undo(graph: Conversation, thread_id: str) -> list[BaseMessage]:
    """Remove the last turn from a thread and from its transcript, after the running turn has ended.

    The turns that had been trimmed to make room for it come back, unless the thread has a summary of them.

    Returns:
        The removed messages; empty if the thread has no turn.
    """
    config = _config(thread_id)
    with graph.thread_lock(config):
        messages = _messages(graph, config)
        turn = _last_turn(messages)
        if not turn:
            return []
        removed = [str(message.id) for message in turn]
        earlier = messages[: len(messages) - len(turn)]
        store = graph.checkpointer
        if isinstance(store, Store) and not graph.get_state(config).values.get("summary"):
            entries = store.newest_turns(thread_id, MAX_TURNS)
            earlier = [entry.message for entry in entries if entry.message.id not in removed]
        if isinstance(store, BufferedTurns):
            store.remove_last(thread_id, removed)
        update = [RemoveMessage(REMOVE_ALL_MESSAGES), *earlier]
        graph.update_state(config, {"messages": update}, as_node="answer")
        return turn


def _last_turn(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    starts = turn_starts(messages)
    return list(messages[starts[-1] :]) if starts else []


def _messages(graph: Conversation, config: RunnableConfig) -> list[BaseMessage]:
    return list(graph.get_state(config).values.get("messages", ()))


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}
