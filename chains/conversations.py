"""A conversation that remembers: a LangGraph graph with one node, and a checkpointer that keeps its threads.

graph = conversation(load_chat_model("local:smollm2"), system="Be brief.")
thread = {"configurable": {"thread_id": "ada"}}
graph.invoke({"messages": [("human", "My name is Ada.")]}, thread)["messages"][-1].content
reset(graph, "ada")

What a thread holds is `threads.py`'s, how much of it is sent `history.py`'s.
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, cast

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from sagechain.chains.history import History
from sagechain.chains.threads import LEFT, Conversation, ConversationState, GivenUp, unanswered
from sagechain.llms import PromptedChatModel


def conversation(
    model: BaseLanguageModel[Any],
    *,
    system: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
    history_tokens: int | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Conversation:
    """A compiled graph over `{"messages": […]}`; threads go by `{"configurable": {"thread_id": …}}`.

    The node is sync and async: `invoke`, `stream` and their async forms all work, and a stream that is left, or a task
    that is cancelled, ends the model's work. A turn that fails or is given up leaves the thread as it was. Turns on one
    thread follow one another. The oldest turns are not sent where the model's context has no room for them.

    Args:
        model: a chat model, or an LLM, which is put into a `PromptedChatModel` (its own family, else `plain`).
        system: what the model is told before every turn; it is not part of the thread.
        examples: questions with the answers that one would like, shown before every turn; not part of the thread.
        history_tokens: most tokens of the thread that are sent, the new turn among them; what the model's context
            leaves beside system text, examples and answer if not given, and never more than that.
        checkpointer: keeps the threads; in memory if not given.

    Raises:
        ValueError: a model that is none, an example that is no pair of texts, a limit below 1; at a call, no new turn,
            or one that is longer than the room there is (by how many tokens). Nothing was sent.
    """
    chat = PromptedChatModel(llm=model) if isinstance(model, BaseLLM) else model
    if not isinstance(chat, BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    if history_tokens is not None and history_tokens < 1:
        raise ValueError(f"history_tokens: {history_tokens} leaves no room for a turn; give 1 or more")
    first = [*([SystemMessage(system)] if system else []), *_example_turns(examples)]
    history = History(chat, first, history_tokens)

    graph = StateGraph(ConversationState)
    graph.add_node("answer", _Answer(chat, first, history))
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return Conversation.of(graph.compile(checkpointer=checkpointer or InMemorySaver()))


class _Answer(Runnable[ConversationState, dict[str, list[BaseMessage]]]):
    """The node. A sync one alone would run the model to its end after a cancel; an async one alone has no `invoke`."""

    def __init__(self, chat: BaseChatModel, first: list[BaseMessage], history: History) -> None:
        self._chat, self._first, self._history = chat, first, history

    def invoke(
        self, input: ConversationState, config: RunnableConfig | None = None, **_: Any
    ) -> dict[str, list[BaseMessage]]:
        asked, left = self._prompt(input["messages"]), (config or {}).get("configurable", {}).get(LEFT)
        reply = self._chat.invoke(asked, config) if left is None else _streamed(self._chat, asked, config, left)
        return {"messages": [*unanswered(input["messages"]), reply]}

    async def ainvoke(
        self, input: ConversationState, config: RunnableConfig | None = None, **_: Any
    ) -> dict[str, list[BaseMessage]]:
        reply = await self._chat.ainvoke(self._prompt(input["messages"]), config)
        return {"messages": [*unanswered(input["messages"]), reply]}

    def _prompt(self, messages: list[AnyMessage]) -> list[BaseMessage]:
        if not unanswered(messages):
            raise ValueError("messages: there is no turn to answer; give the next one")
        return [*self._first, *self._history.fitting(messages)]


def reset(graph: Conversation, thread_id: str) -> None:
    """Forget a thread.

    Raises:
        ValueError: the graph keeps no threads.
    """
    _checkpointer(graph).delete_thread(thread_id)


async def areset(graph: Conversation, thread_id: str) -> None:
    """As `reset`, for a checkpointer that is async."""
    await _checkpointer(graph).adelete_thread(thread_id)


def _checkpointer(graph: Conversation) -> BaseCheckpointSaver[Any]:
    if not isinstance(graph.checkpointer, BaseCheckpointSaver):
        raise ValueError("graph: it has no checkpointer, so there is no thread to forget")
    return graph.checkpointer


def _example_turns(examples: Sequence[tuple[str, str]]) -> list[BaseMessage]:
    turns: list[BaseMessage] = []
    for position, example in enumerate(examples):
        if isinstance(example, str) or len(example) != 2 or not all(isinstance(text, str) for text in example):
            raise ValueError(f"examples[{position}]: give a pair of texts, a question and its answer")
        turns += [HumanMessage(example[0]), AIMessage(example[1])]
    return turns


def _streamed(
    chat: BaseChatModel, asked: list[BaseMessage], config: RunnableConfig | None, left: threading.Event
) -> BaseMessage:
    """The answer of a stream that ends when nobody reads it any more: closing it is what ends the model's work."""
    whole: AIMessageChunk | None = None
    with closing(cast(Generator[AIMessageChunk, None, None], chat.stream(asked, config))) as pieces:
        for piece in pieces:
            if left.is_set():
                raise GivenUp
            whole = piece if whole is None else whole + piece
    assert whole is not None
    return message_chunk_to_message(whole)
