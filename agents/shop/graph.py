"""The assistant's graph: a turn on one thread follows the other, and what was approved is done before anything else.

A process may die when an order was approved and before it was written. LangGraph keeps the approval (`durability="sync"`),
so the next turn on that thread, in whatever process, first finishes it; `is_cut_off` tells whether there is one to finish.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.types import Command, StateSnapshot
from sagechain.chains.conversations import Conversation

from ..middleware.turns import open_calls, this_turn
from .approvals import decided

RESUME = "__resume__"  # langgraph 1.2: the channel of what a person has decided


class ShopVisit(Conversation):
    """A conversation with the shop, over threads of `{"configurable": {"thread_id": …}}`."""

    def stream(self, input: Any, config: Any = None, **options: Any) -> Iterator[Any]:
        """As LangGraph's; `invoke` goes through it too. A new turn first finishes what was approved.

        Raises:
            ValueError: what should resume the thread decides none of its orders (`approving.py`); nothing is saved.
        """
        options["durability"] = options.get("durability") or "sync"
        if isinstance(input, Command) and input.resume is not None:
            state = self.get_state(merge_configs(self.config, config))
            input = replace(input, resume=decided(input.resume, state.interrupts))
        elif input is not None and self._is_cut_off(config, _has_open_call):
            self.invoke(None, config)
        with closing(cast(Any, super().stream(input, config, **options))) as parts:
            yield from parts

    async def astream(self, input: Any, config: Any = None, **options: Any) -> AsyncIterator[Any]:
        """As `stream`; `ainvoke` goes through it."""
        options["durability"] = options.get("durability") or "sync"
        if isinstance(input, Command) and input.resume is not None:
            state = await self.aget_state(merge_configs(self.config, config))
            input = replace(input, resume=decided(input.resume, state.interrupts))
        elif input is not None and await self._ais_cut_off(config, _has_open_call):
            await self.ainvoke(None, config)
        async with aclosing(cast(Any, super().astream(input, config, **options))) as parts:
            async for part in parts:
                yield part

    def is_cut_off(self, config: RunnableConfig) -> bool:
        """Whether a process died with an order that was approved, or before it told what became of one.

        `stream(None, config)` goes on there, and so does `invoke`.
        """
        return self._is_cut_off(config, _has_called)

    async def ais_cut_off(self, config: RunnableConfig) -> bool:
        """As `is_cut_off`."""
        return await self._ais_cut_off(config, _has_called)

    def _is_cut_off(self, config: Any, matters: Callable[[StateSnapshot], bool]) -> bool:
        thread = _thread(merge_configs(self.config, config))
        if thread is None or not isinstance(self.checkpointer, BaseCheckpointSaver):
            return False
        state, saved = self.get_state(thread), self.checkpointer.get_tuple(thread)
        return matters(state) and not _waits(state, saved)

    async def _ais_cut_off(self, config: Any, matters: Callable[[StateSnapshot], bool]) -> bool:
        thread = _thread(merge_configs(self.config, config))
        if thread is None or not isinstance(self.checkpointer, BaseCheckpointSaver):
            return False
        state, saved = await self.aget_state(thread), await self.checkpointer.aget_tuple(thread)
        return matters(state) and not _waits(state, saved)


def waiting(state: StateSnapshot) -> list[dict[str, Any]]:
    """The orders that wait for approval on a thread: of each `name`, `args` and `description`, the question."""
    return [order for each in state.interrupts for order in each.value["action_requests"]]


def _waits(state: StateSnapshot, saved: CheckpointTuple | None) -> bool:
    """Whether a person has still to decide."""
    decided = saved is not None and any(channel == RESUME for _, channel, _ in saved.pending_writes or ())
    return bool(state.interrupts) and not decided


# langgraph 1.2: `state.next` is empty where a process died after a node's writes were saved and before the state was;
# `state.tasks` still has the node.


def _has_open_call(state: StateSnapshot) -> bool:
    return bool(state.tasks) and bool(open_calls(state.values.get("messages", ())))


def _has_called(state: StateSnapshot) -> bool:
    turn = this_turn(state.values.get("messages", ()))
    return _has_open_call(state) or (bool(state.tasks) and any(message.type == "tool" for message in turn))


def _thread(config: RunnableConfig) -> RunnableConfig | None:
    thread_id = config.get("configurable", {}).get("thread_id")
    return None if thread_id is None else {"configurable": {"thread_id": thread_id}}
