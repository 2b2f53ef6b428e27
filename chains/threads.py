"""What keeps a thread of a conversation whole: it holds finished turns only, and takes one turn at a time.

LangGraph saves what a user said before the model has answered. A turn that fails, is cancelled, or dies with its process
would so leave half of itself in the thread, and of two turns at once one would be lost. `FinishedTurns` is the channel that
is never saved with an unanswered turn; `Conversation` is the graph that lets turns of one thread follow one another, and
that tells its node when a stream has been left.
"""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Annotated, Any, TypedDict, cast
from weakref import WeakValueDictionary

import anyio
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables.config import RunnableConfig, merge_configs
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph import add_messages
from langgraph.graph.state import CompiledStateGraph
from sagechain.llms.turns import POLL_SECONDS, Turns

LEFT = "__left"  # in a run's configuration: the event that says that nobody reads its tokens any more


class GivenUp(Exception):
    """Nobody waits for the answer any more; never seen outside."""


class FinishedTurns(BinaryOperatorAggregate[list[AnyMessage]]):
    """The messages of a thread; those after the last answer are there while it runs, and are not saved."""

    __slots__ = ()

    def checkpoint(self) -> list[AnyMessage]:
        """The messages up to the last answer."""
        return self.value[: len(self.value) - len(unanswered(self.value))]


class ConversationState(TypedDict):
    """The state of a conversation, as LangGraph's `MessagesState`."""

    messages: Annotated[list[AnyMessage], FinishedTurns(list, add_messages)]


def unanswered(messages: list[AnyMessage]) -> list[AnyMessage]:
    """The messages after the last answer: a turn that still runs.

    The node gives them back beside its answer, since LangGraph saves what a node gives before it saves the thread.
    """
    ends = (i for i in range(len(messages), 0, -1) if _is_answer(messages[i - 1]))
    return messages[next(ends, 0) :]


def _is_answer(message: AnyMessage) -> bool:
    return isinstance(message, AIMessage) and not message.tool_calls


class Conversation(CompiledStateGraph[ConversationState, Any, ConversationState, ConversationState]):
    """A graph whose turns on one thread follow one another, in one process; turns of several processes do not wait."""

    @classmethod
    def of(cls, graph: CompiledStateGraph[Any, Any, Any, Any]) -> "Conversation":
        """The same graph, as a conversation."""
        conversation = cls.__new__(cls)
        conversation.__dict__.update(graph.__dict__)
        return conversation

    def stream(self, input: Any, config: Any = None, **options: Any) -> Iterator[Any]:
        """As LangGraph's; `invoke` goes through it too. Closing it while tokens come ends the model's work."""
        merged, left = merge_configs(self.config, config), threading.Event()
        if "messages" in (options.get("stream_mode") or ()):
            merged = merge_configs(merged, {"configurable": {LEFT: left}})
        with self._turn(merged):
            parts = cast(Generator[Any, None, None], super().stream(input, merged, **options))
            try:
                # Not `yield from`: that would close LangGraph's stream first, which waits for the node.
                for part in parts:  # noqa: UP028
                    yield part
            finally:
                left.set()
                parts.close()

    async def astream(self, input: Any, config: Any = None, **options: Any) -> AsyncIterator[Any]:
        """As `stream`; `ainvoke` goes through it."""
        merged = merge_configs(self.config, config)
        stream = cast(AsyncGenerator[Any, None], super().astream(input, merged, **options))
        async with self._aturn(merged), aclosing(stream) as parts:
            async for part in parts:
                yield part

    @contextmanager
    def _turn(self, config: RunnableConfig) -> Iterator[None]:
        turns, owner = self._turns_of(config), threading.get_ident()
        turns.take(owner)
        try:
            yield
        finally:
            turns.end(owner)

    @asynccontextmanager
    async def _aturn(self, config: RunnableConfig) -> AsyncIterator[None]:
        turns, owner = self._turns_of(config), threading.get_ident()
        while not turns.taken(owner):
            await anyio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            turns.end(owner)

    def _turns_of(self, config: RunnableConfig) -> Turns:
        """The one turn of a thread: graphs over one checkpointer share their threads. Without a thread nobody waits."""
        thread_id = config.get("configurable", {}).get("thread_id")
        if thread_id is None or not self.checkpointer:
            return Turns(1)
        with _turns_lock:
            return _turns.setdefault((id(self.checkpointer), str(thread_id)), Turns(1))


_turns: "WeakValueDictionary[tuple[int, str], Turns]" = WeakValueDictionary()
_turns_lock = threading.Lock()
