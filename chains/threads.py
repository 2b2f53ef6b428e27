"""What keeps a thread of a conversation whole: it holds finished turns only, and takes one turn at a time.

LangGraph saves what a user said before the model has answered. A turn that fails, is cancelled, or dies with its process
would so leave half of itself in the thread, and of two turns at once one would be lost. `FinishedTurns` is the channel that
is never saved with an unanswered turn; `Conversation` is the graph that lets turns of one thread follow one another, and
that tells its node when a stream has been left.
"""

import threading
import time
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

LEFT = "__left"  # in a run's configuration: the event that says that nobody reads its tokens any more
POLL_SECONDS = 0.005  # how often a turn that waits looks whether the one before it has ended


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


class Turn:
    """The right to go on with a thread; one at a time has it."""

    def __init__(self) -> None:
        self._free = threading.Lock()
        self._owner: int | None = None

    def taken(self) -> bool:
        """Take it, if it is free."""
        taken = self._free.acquire(blocking=False)
        if taken:
            self._owner = threading.get_ident()
        return taken

    def take(self) -> None:
        """Take it, once it is free.

        Raises:
            RuntimeError: it would wait for a turn of its own thread, which could then never end.
        """
        while not self.taken():
            if self._owner == threading.get_ident():
                raise RuntimeError(
                    "thread_id: an earlier turn of this conversation has not ended; read its stream to the end or "
                    "close it, or wait for it with `ainvoke`"
                )
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Let the next one have it."""
        self._owner = None
        self._free.release()


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
        turn = self._turn_of(config)
        turn.take()
        try:
            yield
        finally:
            turn.end()

    @asynccontextmanager
    async def _aturn(self, config: RunnableConfig) -> AsyncIterator[None]:
        turn = self._turn_of(config)
        while not turn.taken():
            await anyio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            turn.end()

    def _turn_of(self, config: RunnableConfig) -> Turn:
        """The turn of a thread: graphs over one checkpointer share their threads. Without a thread nobody waits."""
        thread_id = config.get("configurable", {}).get("thread_id")
        if thread_id is None or not self.checkpointer:
            return Turn()
        with _turns_lock:
            return _turns.setdefault((id(self.checkpointer), str(thread_id)), Turn())


_turns: "WeakValueDictionary[tuple[int, str], Turn]" = WeakValueDictionary()
_turns_lock = threading.Lock()
