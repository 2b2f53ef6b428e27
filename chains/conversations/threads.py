"""The graph of a conversation: a thread holds finished turns only, and runs one turn at a time.

LangGraph saves a person's message before the model has answered. A turn that fails, is cancelled, or dies with its process
would leave half of itself in the thread, and of two simultaneous turns one would be lost. `FinishedTurns` is a channel that
is never saved with an open turn; `Conversation` is a graph that runs the turns of a thread one after another, saves each
once, and signals its node when the reader of a stream has left.
"""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from typing import Annotated, Any, NotRequired, cast
from weakref import WeakValueDictionary

from langchain_core.messages import AnyMessage, RemoveMessage
from langchain_core.runnables.config import RunnableConfig, merge_configs
from langgraph.channels import BinaryOperatorAggregate
from langgraph.errors import EmptyInputError
from langgraph.graph import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import StateSnapshot
from sagechain.llms import ConcurrencyLimit, RenewedLock
from sagechain.prompts import convert_messages
from typing_extensions import TypedDict

from ..stores.buffered_turns import BufferedTurns
from ..stores.names import no_thread, thread_of
from ..turns import finished_turns
from .run_input import ConversationInput, Turn, check_configuration, check_input, nothing_to_continue

STREAM_CLOSED = "__stream_closed"  # in a run's configuration: the event that is set when the reader has left


class StreamClosed(Exception):
    """The reader of the stream has left; raised inside the graph only, to end the generation."""


class FinishedTurns(BinaryOperatorAggregate[list[AnyMessage]]):
    """The messages of a thread; those of an open turn are in it while the graph runs, and are not saved."""

    __slots__ = ()

    def checkpoint(self) -> list[AnyMessage]:
        """The messages up to the last answer."""
        return cast(list[AnyMessage], finished_turns(self.value))


def _with_messages(stored: Any, added: Any) -> Any:
    """LangGraph's `add_messages`; what is not a message is a ValueError that names it."""
    return add_messages(stored, cast(Any, convert_messages(added if isinstance(added, list) else [added])))


class ConversationState(TypedDict):
    """The state of a conversation: LangGraph's `MessagesState`, and a summary of the turns trimmed from it."""

    messages: Annotated[list[AnyMessage], FinishedTurns(list, _with_messages)]
    summary: NotRequired[str]


class Conversation(CompiledStateGraph[ConversationState, Any, ConversationInput, ConversationState]):
    """A graph that runs the turns of a thread one after another: in this process, and over a `Store` in all processes."""

    @classmethod
    def from_graph(cls, graph: CompiledStateGraph[Any, Any, Any, Any]) -> "Conversation":
        """A conversation with the nodes, channels and checkpointer of a compiled graph."""
        # LangGraph's own `copy` builds a graph from its attributes in the same way.
        return cls(**{name: value for name, value in vars(graph).items() if name != "__orig_class__"})

    def stream(self, input: Turn, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        """As LangGraph's; `invoke` uses it too. Closing it while tokens arrive ends the generation."""
        check_input(input)
        config, stream_closed = self._run_config(config, options), threading.Event()
        if "messages" in (options.get("stream_mode") or ()):
            config = merge_configs(config, {"configurable": {STREAM_CLOSED: stream_closed}})
        with self.thread_lock(config):
            input = self._before_turn(input, config)
            self._note_removed(input, config)
            if (checkpointer := self._prunable(config)) is not None:
                checkpointer.prune([thread_of(config) or ""])
            parts = cast(Generator[Any, None, None], super().stream(input, config, **self._saved_once(options)))
            try:
                # Not `yield from`: that would close LangGraph's stream first, which waits for the node.
                for part in parts:  # noqa: UP028
                    yield part
            except EmptyInputError as error:
                raise nothing_to_continue() from error
            finally:
                stream_closed.set()
                parts.close()

    async def astream(self, input: Turn, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """As `stream`; `ainvoke` uses it."""
        check_input(input)
        config = self._run_config(config, options)
        async with self.athread_lock(config):
            input = await self._abefore_turn(input, config)
            self._note_removed(input, config)
            if (checkpointer := self._prunable(config)) is not None:
                await checkpointer.aprune([thread_of(config) or ""])
            parts = cast(AsyncGenerator[Any, None], super().astream(input, config, **self._saved_once(options)))
            async with aclosing(parts):
                try:
                    async for part in parts:
                        yield part
                except EmptyInputError as error:
                    raise nothing_to_continue() from error

    def get_state(self, config: RunnableConfig, **options: Any) -> StateSnapshot:
        """As LangGraph's. This and the methods below raise ValueError if the configuration names no thread."""
        return super().get_state(self._run_config(config), **options)

    async def aget_state(self, config: RunnableConfig, **options: Any) -> StateSnapshot:
        """As `get_state`."""
        return await super().aget_state(self._run_config(config), **options)

    def get_state_history(self, config: RunnableConfig, **options: Any) -> Iterator[StateSnapshot]:
        """As LangGraph's."""
        yield from super().get_state_history(self._run_config(config), **options)

    async def aget_state_history(self, config: RunnableConfig, **options: Any) -> AsyncIterator[StateSnapshot]:
        """As LangGraph's."""
        async for state in super().aget_state_history(self._run_config(config), **options):
            yield state

    def bulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:
        """As LangGraph's; `update_state` uses it."""
        return super().bulk_update_state(self._run_config(config), supersteps)

    async def abulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:
        """As LangGraph's; `aupdate_state` uses it."""
        return await super().abulk_update_state(self._run_config(config), supersteps)

    def _run_config(self, config: Any, options: Mapping[str, Any] | None = None) -> RunnableConfig:
        """A run's configuration with the graph's own. Raises ValueError if it names no thread, and threads are stored."""
        merged = merge_configs(self.config, check_configuration(config))
        if "thread_id" in (options or ()):
            raise no_thread(options)
        if self.checkpointer and thread_of(merged) is None and not _is_subgraph(merged):
            raise no_thread(merged)
        return merged

    def _note_removed(self, input: Any, config: RunnableConfig) -> None:
        """Let the messages that the input removes from the end of the thread leave its transcript too."""
        messages = input.get("messages") if isinstance(input, dict) else None
        removed = [str(each.id) for each in messages or () if isinstance(each, RemoveMessage)]
        if removed and isinstance(self.checkpointer, BufferedTurns):
            self.checkpointer.remove_last(thread_of(config) or "", removed)

    def _before_turn(self, input: Any, config: RunnableConfig) -> Any:
        """The input of a turn, after what has to be checked or done first; nobody else has the thread meanwhile."""
        return input

    async def _abefore_turn(self, input: Any, config: RunnableConfig) -> Any:
        """As `_before_turn`."""
        return input

    def _saved_once(self, options: dict[str, Any]) -> dict[str, Any]:
        """LangGraph would save a turn three times, half of it at first."""
        return options if options.get("durability") or not self.checkpointer else {**options, "durability": "exit"}

    @contextmanager
    def thread_lock(self, config: RunnableConfig) -> Iterator[None]:
        """The lock of a run's thread: waits until its running turn has ended."""
        store, thread_id = self.checkpointer, thread_of(config)
        with (
            self._process_lock(config).slot(),
            store.turn(thread_id) if thread_id is not None and isinstance(store, BufferedTurns) else nullcontext(),
        ):
            yield

    @asynccontextmanager
    async def athread_lock(self, config: RunnableConfig) -> AsyncIterator[None]:
        """As `thread_lock`."""
        store, thread_id = self.checkpointer, thread_of(config)
        async with (
            self._process_lock(config).aslot(),
            store.aturn(thread_id) if thread_id is not None and isinstance(store, BufferedTurns) else nullcontext(),
        ):
            yield

    def _prunable(self, config: RunnableConfig) -> BufferedTurns | None:
        """The checkpointer whose older checkpoints are deleted before a turn.

        Not after the turn: a failure there would make a saved turn look lost. And not before a run that starts from an
        older checkpoint.
        """
        if thread_of(config) is None or config.get("configurable", {}).get("checkpoint_id") is not None:
            return None
        return self.checkpointer if isinstance(self.checkpointer, BufferedTurns) else None

    def _process_lock(self, config: RunnableConfig) -> ConcurrencyLimit:
        """The lock of a thread in this process, shared by graphs over one checkpointer. Without a thread: a free one."""
        thread_id = thread_of(config)
        if thread_id is None or not self.checkpointer:
            return ConcurrencyLimit(1)
        with _locks_guard:
            return _locks.setdefault((id(self.checkpointer), thread_id), ConcurrencyLimit(1))


_locks: "WeakValueDictionary[tuple[int, str], ConcurrencyLimit]" = WeakValueDictionary()
_locks_guard = RenewedLock()


def _is_subgraph(config: RunnableConfig) -> bool:
    """Whether another graph runs this one as a node: that graph stores the thread, or does not."""
    return any(str(name).startswith("__pregel_") for name in config.get("configurable") or ())
