"""A turn is saved when it ends: one that fails, or dies with its process, leaves its thread as it was.

    with saver.turn("ada"):           # waits while another turn of this thread runs
        graph.invoke(…)               # saved at the end of the block, unless an exception leaves it

Until then its checkpoints are in memory; only the graphs of the turn see them. A turn that continues a stopped one, after
an interrupt, a breakpoint or a crash, acts on what a person approved: it is saved step by step, so that no tool runs twice
and what was approved can be resumed. If its first step fails, the thread waits for the decision as before.

A turn belongs to the process that started it: a child that is forked inside the block saves nothing at its end.

If a node of the last run in the block failed, the thread stays as it was too, where the exception is caught inside. A
stream that is left by `break` there fails no turn, nor does a caught KeyboardInterrupt or GraphRecursionError: what
LangGraph saves then looks like a breakpoint.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from sagechain.llms import renew_in_child

from .locks import ThreadLocks
from .names import check_name, with_checked_name
from .serialization import ThreadSerializer
from .turn_buffer import ERROR, RESUME, SavedCheckpoint, SavedWrites, TurnBuffer, address_of, current_caller

logger = logging.getLogger("sagechain.chains")


class BufferedTurns(BaseCheckpointSaver[str]):
    """A checkpointer with turns, to be put before LangGraph's own class."""

    thread_locks: ThreadLocks

    def __init__(self, *args: Any, **options: Any) -> None:
        self._turns: dict[str, TurnBuffer] = {}
        renew_in_child(self, BufferedTurns._leave_turns)
        super().__init__(*args, **{"serde": ThreadSerializer(), **options})

    def _leave_turns(self) -> None:
        """In a forked child: the running turns are its parent's."""
        self._turns = {}

    def turn(self, thread: str) -> AbstractContextManager[None]:
        """A turn of a thread: waits while another process, Python thread or task has one, and is saved when it ends.

        An exception that leaves the block leaves the thread as it was, whatever graph ran in it; so does a node's that is
        caught inside, with a warning of the logger `sagechain.chains`.
        """
        return self._run_turn(check_name(thread))

    def aturn(self, thread: str) -> AbstractAsyncContextManager[None]:
        """As `turn`."""
        return self._arun_turn(check_name(thread))

    @contextmanager
    def _run_turn(self, thread: str) -> Iterator[None]:
        if self._is_inside(thread):
            yield
            return
        with self.thread_locks.lock(thread):
            turn = self._turns[thread] = TurnBuffer(thread, self.serde)
            try:
                yield
            except BaseException:
                self._cancel(turn)
                raise
            self._finish(turn)

    @asynccontextmanager
    async def _arun_turn(self, thread: str) -> AsyncIterator[None]:
        if self._is_inside(thread):
            yield
            return
        async with self.thread_locks.alock(thread):
            turn = self._turns[thread] = TurnBuffer(thread, self.serde)
            try:
                yield
            except BaseException:
                await _uncancelled(self._cancel, turn)
                raise
            await _uncancelled(self._finish, turn)

    def remove_last(self, thread: str, message_ids: Collection[str]) -> None:
        """Remove a thread's last messages from its transcript too, when the running turn is saved; called inside it.

        Args:
            thread: its name.
            message_ids: those of messages that the turn removes from the thread's state. One that stands before a
                message with another id stays in the transcript.
        """
        if turn := self._turns.get(thread):
            with turn.lock:
                turn.removed.update(message_ids)

    def _is_inside(self, thread: str) -> bool:
        turn = self._turns.get(thread)
        return turn is not None and turn.owner == current_caller()

    def _turn_of(self, config: RunnableConfig) -> TurnBuffer | None:
        return self._turns.get(config["configurable"]["thread_id"])

    def _finish(self, turn: TurnBuffer) -> None:
        if turn.failed:
            logger.warning("thread %r: the turn failed, and is not saved", turn.thread)
            self._cancel(turn)
            return
        if self._turns.pop(turn.thread, None) is turn:
            with turn.lock:
                self._save_buffer(turn)

    def _cancel(self, turn: TurnBuffer) -> None:
        if self._turns.pop(turn.thread, None) is turn:
            with turn.lock:
                turn.clear()
                if turn.decisions:
                    self._delete_decisions(turn.thread, turn.decisions)

    def _save_buffer(self, turn: TurnBuffer) -> None:
        checkpoints, writes = turn.checkpoints(), turn.writes()
        if checkpoints or writes:
            self._save(turn.thread, checkpoints, writes, turn.removed)
            turn.clear()

    def _forget_turn(self, thread: str) -> None:
        """Forget what a running turn has not saved yet."""
        if turn := self._turns.get(thread):
            with turn.lock:
                turn.clear()
                turn.decisions = []

    @abstractmethod
    def _save(
        self,
        thread: str,
        checkpoints: Sequence[SavedCheckpoint],
        writes: Sequence[SavedWrites],
        removed: Collection[str] = (),
    ) -> None:
        """Save all or nothing; `removed` are the ids of messages that leave the transcript."""

    @abstractmethod
    def _delete_decisions(self, thread: str, decisions: Sequence[tuple[str, str, str]]) -> None:
        """Delete what was written to `RESUME`, by namespace, checkpoint and task."""

    # LangGraph's interface

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As LangGraph's."""
        saved = SavedCheckpoint(with_checked_name(config), checkpoint, metadata, new_versions)
        return self._put(self._turn_of(saved.config), saved)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As LangGraph's."""
        saved = SavedWrites(with_checked_name(config), writes, task_id, task_path)
        self._put_writes(self._turn_of(saved.config), saved)

    def _put(self, turn: TurnBuffer | None, saved: SavedCheckpoint) -> RunnableConfig:
        address = saved.config["configurable"]
        if turn is None:
            self._save(address["thread_id"], [saved], [])
            return address_of(address["thread_id"], address.get("checkpoint_ns", ""), saved.checkpoint["id"])
        with turn.lock:
            if not turn.saves_steps and turn.continues(saved.config, saved.metadata):
                self._save_buffer(turn)
                turn.saves_steps, turn.decisions = True, []
            return self._put(None, saved) if turn.saves_steps else turn.put(saved)

    def _put_writes(self, turn: TurnBuffer | None, saved: SavedWrites) -> None:
        if turn is None:
            self._save(saved.config["configurable"]["thread_id"], [], [saved])
            return
        with turn.lock:
            channels = {channel for channel, _ in saved.writes}
            is_decision = RESUME in channels and ERROR not in channels
            if is_decision and not turn.saves_steps:
                if turn.has_checkpoints:
                    self._save_buffer(turn)
                address = saved.config["configurable"]
                turn.decisions.append((address.get("checkpoint_ns", ""), address["checkpoint_id"], saved.task_id))
            if is_decision or turn.saves_steps:
                self._put_writes(None, saved)
            else:
                turn.put_writes(saved)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's."""
        config = with_checked_name(config)
        turn, stored = self._turn_of(config), super().get_tuple(config)
        if turn is None:
            return stored
        with turn.lock:
            return turn.latest(config, stored)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As LangGraph's, but read completely first: others, and the reader itself, may write while it is iterated."""
        config = config and with_checked_name(config)
        turn = None if config is None else self._turn_of(config)
        stored = tuple(super().list(config, filter=filter, before=before, limit=limit))
        if turn is None:
            return iter(stored)
        with turn.lock:
            return iter(turn.merged(config, stored, limit, filter=filter, before=before))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As LangGraph's."""
        config = with_checked_name(config)
        if self._turn_of(config) is None:
            return super().get_delta_channel_history(config=config, channels=channels)
        return BaseCheckpointSaver.get_delta_channel_history(self, config=config, channels=channels)


async def _uncancelled(function: Any, turn: TurnBuffer) -> None:
    """Run a function in a thread to its end; a cancellation that comes meanwhile is raised afterwards."""
    running = asyncio.ensure_future(asyncio.to_thread(function, turn))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                continue
        running.result()
        raise
