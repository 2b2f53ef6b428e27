"""What keeps a thread of a conversation whole: it holds finished turns only, and takes one turn at a time.

LangGraph saves what a user said before the model has answered. A turn that fails, is cancelled, or dies with its process
would so leave half of itself in the thread, and of two turns at once one would be lost. `FinishedTurns` is the channel that
is never saved with an unanswered turn; `Conversation` is the graph that lets turns of one thread follow one another, saves
each once, and tells its node when a stream has been left.
"""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from typing import Annotated, Any, NotRequired, TypedDict, cast
from weakref import WeakValueDictionary

import anyio
from langchain_core.messages import AnyMessage
from langchain_core.runnables.config import RunnableConfig, merge_configs
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph import add_messages
from langgraph.graph.state import CompiledStateGraph
from sagechain.llms import POLL_SECONDS, Turns

from ..stores.base import Store
from ..stores.memory import LatestInMemory
from .turns import finished

LEFT = "__left"  # in a run's configuration: the event that says that nobody reads its tokens any more


class GivenUp(Exception):
    """Nobody waits for the answer any more; never seen outside."""


class FinishedTurns(BinaryOperatorAggregate[list[AnyMessage]]):
    """The messages of a thread; those after the last answer are there while it runs, and are not saved."""

    __slots__ = ()

    def checkpoint(self) -> list[AnyMessage]:
        """The messages up to the last answer."""
        return cast(list[AnyMessage], finished(self.value))


class ConversationState(TypedDict):
    """The state of a conversation: LangGraph's `MessagesState`, and what became of the turns that fell out of it."""

    messages: Annotated[list[AnyMessage], FinishedTurns(list, add_messages)]
    summary: NotRequired[str]


class Conversation(CompiledStateGraph[ConversationState, Any, ConversationState, ConversationState]):
    """A graph whose turns on one thread follow one another: in this process, and over a `Store` in all that use it."""

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
        with self.turn(merged):
            if (keeper := self._letting_go(merged)) is not None:
                keeper.prune([str(_thread(merged))])
            parts = cast(Generator[Any, None, None], super().stream(input, merged, **_saved_once(options)))
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
        stream = cast(AsyncGenerator[Any, None], super().astream(input, merged, **_saved_once(options)))
        async with self.aturn(merged):
            if (keeper := self._letting_go(merged)) is not None:
                await keeper.aprune([str(_thread(merged))])
            async with aclosing(stream) as parts:
                async for part in parts:
                    yield part

    @contextmanager
    def turn(self, config: RunnableConfig) -> Iterator[None]:
        """The turn of a run's thread, once nobody else has it."""
        turns, owner, thread = self._turns_of(config), threading.get_ident(), _thread(config)
        turns.take(owner)
        try:
            keeper = self.checkpointer
            with keeper.turn(thread) if thread is not None and isinstance(keeper, Store) else nullcontext():
                yield
        finally:
            turns.end(owner)

    @asynccontextmanager
    async def aturn(self, config: RunnableConfig) -> AsyncIterator[None]:
        """As `turn`."""
        turns, owner, thread = self._turns_of(config), threading.get_ident(), _thread(config)
        while not turns.taken(owner):
            await anyio.sleep(POLL_SECONDS)
        try:
            keeper = self.checkpointer
            async with keeper.aturn(thread) if thread is not None and isinstance(keeper, Store) else nullcontext():
                yield
        finally:
            turns.end(owner)

    def _letting_go(self, config: RunnableConfig) -> Store | LatestInMemory | None:
        """Who lets older checkpoints go before a turn: after it, a failure would make a turn that is saved look lost."""
        goes_back = config.get("configurable", {}).get("checkpoint_id") is not None
        keeper = self.checkpointer if _thread(config) is not None and not goes_back else None
        return keeper if isinstance(keeper, Store | LatestInMemory) else None

    def _turns_of(self, config: RunnableConfig) -> Turns:
        """The one turn of a thread: graphs over one checkpointer share their threads. Without a thread nobody waits."""
        thread = _thread(config)
        if thread is None or not self.checkpointer:
            return Turns(1)
        with _turns_lock:
            return _turns.setdefault((id(self.checkpointer), thread), Turns(1))


_turns: "WeakValueDictionary[tuple[int, str], Turns]" = WeakValueDictionary()
_turns_lock = threading.Lock()


def _thread(config: RunnableConfig) -> str | None:
    name = config.get("configurable", {}).get("thread_id")
    return None if name is None else str(name)


def _saved_once(options: dict[str, Any]) -> dict[str, Any]:
    """LangGraph would save a turn three times on its way, half of it at first."""
    return options if options.get("durability") else {**options, "durability": "exit"}
