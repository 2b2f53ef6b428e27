"""A conversation that remembers: a LangGraph graph with one node, and a checkpointer that keeps its threads.

graph = conversation(load_chat_model("local:smollm2"), system="Be brief.")
thread = {"configurable": {"thread_id": "ada"}}
graph.invoke({"messages": [("human", "My name is Ada.")]}, thread)["messages"][-1].content
reset(graph, "ada")

Where threads are kept is `stores.py`'s, what a thread holds `threads.py`'s, how much of it is sent `history.py`'s.
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
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
    RemoveMessage,
    SystemMessage,
    message_chunk_to_message,
)
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.constants import TAG_NOSTREAM
from langgraph.graph import END, START, StateGraph
from sagechain.llms import PromptedChatModel

from ..stores.memory import LatestInMemory
from .history import History
from .summaries import Summaries
from .threads import LEFT, Conversation, ConversationState, GivenUp
from .turns import unanswered


def conversation(
    model: BaseLanguageModel[Any],
    *,
    system: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
    history_tokens: int | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    summarise: bool = False,
) -> Conversation:
    """A compiled graph over `{"messages": […]}`; threads go by `{"configurable": {"thread_id": …}}`.

    The node is sync and async: `invoke`, `stream` and their async forms all work, and a stream that is left, or a task
    that is cancelled, ends the model's work. A turn that fails or is given up leaves the thread as it was. Turns on one
    thread follow one another. The oldest turns fall out of the graph's state where the model's context has no room for
    them, so that a turn costs the same however long the thread is.

    Args:
        model: a chat model, or an LLM, which is put into a `PromptedChatModel` (its own family, else `plain`).
        system: what the model is told before every turn; it is not part of the thread.
        examples: questions with the answers that one would like, shown before every turn; not part of the thread.
        history_tokens: most tokens of the thread that are sent, the new turn among them; never more than the model's
            context leaves beside system text, examples and answer. If not given, all that it leaves, and at most the
            newest 80 turns.
        checkpointer: keeps the threads; in memory if not given. A store (`open_store`) also keeps a transcript of all
            that was said, in which what fell out of the state stays, and lets turns of several processes follow one
            another. Any other checkpointer of LangGraph's keeps the state, and what falls out of it is gone.
        summarise: have the model sum up what falls out, in a few sentences that it is then told after the system text. A
            turn whose summary fails is a turn that fails.

    Raises:
        ValueError: a model that is none, an example that is no pair of texts, a limit below 1, a context that has no room
            for a summary; at a call, no new turn, one that is no Unicode text, or one that is longer than the room there
            is (by how many tokens). Nothing was sent.
    """
    chat = PromptedChatModel(llm=model) if isinstance(model, BaseLLM) else model
    if not isinstance(chat, BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    if history_tokens is not None and history_tokens < 1:
        raise ValueError(f"history_tokens: {history_tokens} leaves no room for a turn; give 1 or more")
    graph = StateGraph(ConversationState)
    graph.add_node("answer", _Answer(chat, system, _example_turns(examples), history_tokens, summarise))
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return Conversation.of(graph.compile(checkpointer=checkpointer or LatestInMemory()))


class _Answer(Runnable[ConversationState, ConversationState]):
    """The node. A sync one alone would run the model to its end after a cancel; an async one alone has no `invoke`."""

    def __init__(
        self,
        chat: BaseChatModel,
        system: str | None,
        examples: list[BaseMessage],
        history_tokens: int | None,
        summarise: bool,
    ) -> None:
        self._chat, self._system, self._examples = chat, system, examples
        self._summaries = Summaries(chat) if summarise else None
        reserved = self._summaries.tokens if self._summaries else 0
        self._history = History(chat, self._first(""), history_tokens, reserved)

    def invoke(self, input: ConversationState, config: RunnableConfig | None = None, **_: Any) -> ConversationState:
        sent, fallen = self._window(input["messages"])
        summary = input.get("summary", "")
        if fallen and self._summaries:
            summary = self._summaries.invoke(summary, fallen, partial(_asked, self._chat, config=_unseen(config)))
        reply = _asked(self._chat, [*self._first(summary), *sent], config)
        return self._turn(input, fallen, summary, reply)

    async def ainvoke(
        self, input: ConversationState, config: RunnableConfig | None = None, **_: Any
    ) -> ConversationState:
        sent, fallen = self._window(input["messages"])
        summary = input.get("summary", "")
        if fallen and self._summaries:
            ask = partial(self._chat.ainvoke, config=_unseen(config))
            summary = await self._summaries.ainvoke(summary, fallen, ask)
        reply = await self._chat.ainvoke([*self._first(summary), *sent], config)
        return self._turn(input, fallen, summary, reply)

    def _window(self, messages: list[AnyMessage]) -> tuple[list[BaseMessage], list[BaseMessage]]:
        """The newest turns, which are sent, and those that fall out."""
        if not (turn := unanswered(messages)):
            raise ValueError("messages: there is no turn to answer; give the next one")
        for message in turn:
            _check_text(message.text)
        sent = self._history.fitting(messages)
        return sent, list(messages[: len(messages) - len(sent)])

    def _first(self, summary: str) -> list[BaseMessage]:
        """What stands before the turns."""
        texts = [self._system or "", self._summaries.told(summary) if summary and self._summaries else ""]
        system = "\n\n".join(text for text in texts if text)
        return [*([SystemMessage(system)] if system else []), *self._examples]

    def _turn(
        self, before: ConversationState, fallen: list[BaseMessage], summary: str, reply: BaseMessage
    ) -> ConversationState:
        """What the turn changes. It gives back its question too: LangGraph may save what a node gives before the thread."""
        removed = [RemoveMessage(str(message.id)) for message in fallen]
        messages = cast(list[AnyMessage], [*removed, *unanswered(before["messages"]), reply])
        return {"messages": messages, "summary": summary} if summary else {"messages": messages}


def reset(graph: Conversation, thread_id: str) -> None:
    """Forget a thread, once no turn of it runs any more.

    Raises:
        ValueError: the graph keeps no threads.
    """
    keeper = _checkpointer(graph)
    with graph.turn({"configurable": {"thread_id": thread_id}}):
        keeper.delete_thread(thread_id)


async def areset(graph: Conversation, thread_id: str) -> None:
    """As `reset`, for a checkpointer that is async."""
    keeper = _checkpointer(graph)
    async with graph.aturn({"configurable": {"thread_id": thread_id}}):
        await keeper.adelete_thread(thread_id)


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


def _check_text(text: str) -> None:
    """Half a character, as bytes that are no UTF-8 become, could neither be sent nor kept."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"messages: {text[error.start]!r} at {error.start} is no character; give text in UTF-8"
        ) from error


def _unseen(config: RunnableConfig | None) -> RunnableConfig:
    """For a call whose tokens are not the answer's: LangGraph leaves them out of its streams."""
    return merge_configs(config, {"tags": [TAG_NOSTREAM]})


def _asked(chat: BaseChatModel, asked: list[BaseMessage], config: RunnableConfig | None, **options: Any) -> BaseMessage:
    """The answer, of a stream where somebody may leave: closing it is what ends the model's work."""
    left: threading.Event | None = (config or {}).get("configurable", {}).get(LEFT)
    if left is None:
        return chat.invoke(asked, config, **options)
    whole: AIMessageChunk | None = None
    with closing(cast(Generator[AIMessageChunk, None, None], chat.stream(asked, config, **options))) as pieces:
        for piece in pieces:
            if left.is_set():
                raise GivenUp
            whole = piece if whole is None else whole + piece
    assert whole is not None
    return message_chunk_to_message(whole)
