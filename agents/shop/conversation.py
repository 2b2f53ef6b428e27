"""The assistant's graph: a conversation in which an approved order is placed even if its process dies.

LangGraph saves the approval before the order is written (`durability="sync"`). If the process dies after that, the next
turn on the thread, in whatever process, first places the order; `is_unfinished` shows whether there is something to finish.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.config import get_config
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot
from sagechain.chains.conversations import STREAM_CLOSED, Conversation, StreamClosed, Turn, check_configuration

from ..middleware.turns import current_turn, open_calls
from .approvals import check_decisions

RESUME = "__resume__"  # langgraph 1.2: the channel of a person's decisions


class ShopConversation(Conversation):
    """A conversation with the shop, over threads of `{"configurable": {"thread_id": …}}`."""

    def stream(self, input: Turn, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        """As LangGraph's; `invoke` uses it too. A new turn first places an order that was approved before.

        Raises:
            ValueError: a resume value that does not decide the thread's orders; nothing is saved.
        """
        options["durability"] = options.get("durability") or "sync"
        yield from super().stream(
            input, merge_configs(check_configuration(config), {"callbacks": [_EndGeneration()]}), **options
        )

    async def astream(self, input: Turn, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """As `stream`; `ainvoke` uses it."""
        options["durability"] = options.get("durability") or "sync"
        async with aclosing(cast(Any, super().astream(input, config, **options))) as parts:
            async for part in parts:
                yield part

    def _before_turn(self, input: Any, config: RunnableConfig) -> Any:
        """Validate a decision while nobody else can continue the thread; before a new turn, place what was approved."""
        if isinstance(input, Command) and input.resume is not None:
            return replace(input, resume=check_decisions(input.resume, self.get_state(config).interrupts))
        if input is not None and _has_approved_order(*self._saved(config)):
            list(CompiledStateGraph.stream(self, None, config, durability="sync"))
        return input

    async def _abefore_turn(self, input: Any, config: RunnableConfig) -> Any:
        """As `_before_turn`."""
        if isinstance(input, Command) and input.resume is not None:
            state = await self.aget_state(config)
            return replace(input, resume=check_decisions(input.resume, state.interrupts))
        if input is not None and _has_approved_order(*await self._asaved(config)):
            async for _ in CompiledStateGraph.astream(self, None, config, durability="sync"):
                pass
        return input

    def is_unfinished(self, config: RunnableConfig) -> bool:
        """Whether a process died after an approval, before the model has reported the order; `invoke(None, …)` resumes."""
        state, saved = self._saved(config)
        if state is None:
            return False
        has_result = any(message.type == "tool" for message in current_turn(state.values.get("messages", ())))
        return _has_approved_order(state, saved) or (has_result and bool(state.tasks) and not _waits(state, saved))

    def _saved(self, config: Any) -> tuple[StateSnapshot | None, CheckpointTuple | None]:
        thread = _thread(merge_configs(self.config, config))
        if thread is None or not isinstance(self.checkpointer, BaseCheckpointSaver):
            return None, None
        return self.get_state(thread), self.checkpointer.get_tuple(thread)

    async def _asaved(self, config: Any) -> tuple[StateSnapshot | None, CheckpointTuple | None]:
        thread = _thread(merge_configs(self.config, config))
        if thread is None or not isinstance(self.checkpointer, BaseCheckpointSaver):
            return None, None
        return await self.aget_state(thread), await self.checkpointer.aget_tuple(thread)


class _EndGeneration(BaseCallbackHandler):
    """Ends a generation after its reader has left. An async one needs no callback: LangGraph cancels it."""

    raise_error = True

    def on_llm_new_token(self, *_: Any, **kwargs: Any) -> None:
        """Stop at the next token."""
        stream_closed = get_config().get("configurable", {}).get(STREAM_CLOSED)
        if stream_closed is not None and stream_closed.is_set():
            raise StreamClosed


def waiting_orders(state: StateSnapshot) -> list[dict[str, Any]]:
    """The orders of a thread that wait for approval; `name`, `args`, and the question as `description`."""
    return [order for interrupt in state.interrupts for order in interrupt.value["action_requests"]]


def _has_approved_order(state: StateSnapshot | None, saved: CheckpointTuple | None) -> bool:
    """Whether the thread stopped with a tool call that no person has to decide on."""
    # langgraph 1.2: `state.next` is empty if the process died after a node's writes were saved and before the state was;
    # `state.tasks` still has the node.
    if state is None or not state.tasks or _waits(state, saved):
        return False
    return bool(open_calls(state.values.get("messages", ())))


def _waits(state: StateSnapshot, saved: CheckpointTuple | None) -> bool:
    """Whether a person's decision is missing."""
    has_decision = saved is not None and any(channel == RESUME for _, channel, _ in saved.pending_writes or ())
    return bool(state.interrupts) and not has_decision


def _thread(config: RunnableConfig) -> RunnableConfig | None:
    thread_id = config.get("configurable", {}).get("thread_id")
    return None if thread_id is None else {"configurable": {"thread_id": thread_id}}
