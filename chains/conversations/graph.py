"""A conversation with memory: a LangGraph graph with one node, and a checkpointer that stores its threads.

    graph = conversation(load_chat_model("local:smollm2"), system="Be brief.")
    thread = {"configurable": {"thread_id": "ada"}}
    graph.invoke({"messages": [("human", "My name is Ada.")]}, thread)["messages"][-1].content
    reset(graph, "ada")

`threads.py` protects a thread from failures and from simultaneous turns, `history.py` picks the messages that are sent,
`sagechain.chains.stores` stores threads on disk.
"""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from sagechain.llms import PromptedChatModel

from ..stores.memory import PrunableInMemorySaver
from ..stores.names import check_name
from .node import AnswerNode
from .threads import Conversation, ConversationState


def conversation(
    model: BaseLanguageModel[Any],
    *,
    system: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
    history_tokens: int | None = None,
    checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None,
    summarise: bool = False,
) -> Conversation:
    """A compiled graph over `{"messages": […]}` with threads by `{"configurable": {"thread_id": …}}`.

    `invoke`, `stream` and their async forms all work; closing a stream or cancelling a task ends the generation. A turn
    that fails or is cancelled leaves the thread as it was. Turns on one thread run one after another. The oldest turns are
    trimmed from the graph's state when the model's context has no room for them, so the cost of a turn does not grow with
    the thread.

    Args:
        model: a chat model, or an LLM, which is wrapped in a `PromptedChatModel` (its own family, else `plain`).
        system: the system text sent before every turn; not stored in the thread. Default: the model's own, if its catalogue
            entry has one; `""` for none.
        examples: pairs of a question and the desired answer, sent before every turn; not stored in the thread.
        history_tokens: most tokens of the thread that are sent, including the new turn; never more than the model's
            context leaves beside system text, examples and answer. Default: all that the context leaves, and at most the
            newest 80 turns.
        checkpointer: stores the threads; default: in memory. A store (`open_store`) also writes a transcript with every
            message, trimmed ones included, and orders the turns of several processes. With any other LangGraph
            checkpointer, trimmed messages are lost. False: none, for a server that brings its own (`langgraph dev`).
        summarise: let the model summarise trimmed turns in a few sentences, which are added to the system text. A turn
            whose summary fails is a failed turn.

    Raises:
        ValueError: not a model, an example that is not a pair of texts, a limit below 1, a context too small for a summary;
            at invocation: no new turn, text that is not valid Unicode, or a turn longer than the available room (the
            message gives the number of tokens). Nothing was sent.
    """
    chat = PromptedChatModel(llm=model) if isinstance(model, BaseLLM) else model
    if not isinstance(chat, BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    if system is not None and not isinstance(system, str):
        raise ValueError(f"system: {type(system).__name__} is not text; give a string")
    if history_tokens is not None and (not isinstance(history_tokens, int) or history_tokens < 1):
        raise ValueError(f"history_tokens: {history_tokens!r} leaves no room for a turn; give 1 or more")
    if checkpointer is not None and checkpointer is not False and not isinstance(checkpointer, BaseCheckpointSaver):
        raise ValueError(
            f"checkpointer: {type(checkpointer).__name__} stores no threads; give open_store(FILE), another LangGraph "
            "checkpointer, or False for none"
        )
    graph = StateGraph(ConversationState)
    graph.add_node("answer", AnswerNode(chat, system, _example_messages(examples), history_tokens, summarise))
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    saver = PrunableInMemorySaver() if checkpointer is None else checkpointer or None
    return Conversation.from_graph(graph.compile(checkpointer=saver))


def reset(graph: Conversation, thread_id: str) -> None:
    """Delete a thread, after its running turn has ended.

    Raises:
        ValueError: the graph has no checkpointer.
    """
    checkpointer, thread_id = _checkpointer(graph), check_name(thread_id)
    with graph.thread_lock({"configurable": {"thread_id": thread_id}}):
        checkpointer.delete_thread(thread_id)


async def areset(graph: Conversation, thread_id: str) -> None:
    """As `reset`, for an async checkpointer."""
    checkpointer, thread_id = _checkpointer(graph), check_name(thread_id)
    async with graph.athread_lock({"configurable": {"thread_id": thread_id}}):
        await checkpointer.adelete_thread(thread_id)


def _checkpointer(graph: Conversation) -> BaseCheckpointSaver[Any]:
    if not isinstance(graph.checkpointer, BaseCheckpointSaver):
        raise ValueError("graph: it has no checkpointer, so it stores no threads to delete")
    return graph.checkpointer


def _example_messages(examples: Sequence[tuple[str, str]]) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    for position, example in enumerate(examples):
        if isinstance(example, str) or len(example) != 2 or not all(isinstance(text, str) for text in example):
            raise ValueError(f"examples[{position}]: give a pair of texts, a question and its answer")
        messages += [HumanMessage(example[0]), AIMessage(example[1])]
    return messages
