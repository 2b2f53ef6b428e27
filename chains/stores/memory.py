"""Threads in this process's memory."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory
from langgraph.checkpoint.memory import InMemorySaver
from sagechain.llms import renew_in_child

from .buffered_turns import BufferedTurns
from .locks import ProcessLocks
from .names import check_name
from .turn_buffer import RESUME, SavedCheckpoint, SavedWrites, in_namespace


class LockedInMemorySaver(InMemorySaver):
    """LangGraph's `InMemorySaver` with a lock around each operation: its dictionaries would change while they are read."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._renew_guard()
        renew_in_child(self, LockedInMemorySaver._renew_guard)

    def _renew_guard(self) -> None:
        self._guard = threading.RLock()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's."""
        with self._guard:
            return super().get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As LangGraph's, but read completely first."""
        with self._guard:
            return iter(tuple(super().list(config, filter=filter, before=before, limit=limit)))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As LangGraph's."""
        with self._guard:
            return super().get_delta_channel_history(config=config, channels=channels)

    def delete_thread(self, thread_id: str) -> None:
        """As LangGraph's."""
        with self._guard:
            super().delete_thread(thread_id)


class PrunableInMemorySaver(BufferedTurns, LockedInMemorySaver):
    """LangGraph's `InMemorySaver` with turns and `prune`; usable from several Python threads."""

    def __init__(self) -> None:
        super().__init__()
        self.thread_locks = ProcessLocks()

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all checkpoints of each thread but the latest."""
        if strategy != "keep_latest":
            raise ValueError(f"strategy: {strategy!r} is unknown; give 'keep_latest', or use delete_thread")
        with self._guard:
            for thread in map(check_name, thread_ids):
                self._keep_latest(thread)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        self.prune(thread_ids, strategy=strategy)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread."""
        thread_id = check_name(thread_id)
        self._forget_turn(thread_id)
        super().delete_thread(thread_id)

    def _save(
        self,
        thread: str,
        checkpoints: Sequence[SavedCheckpoint],
        writes: Sequence[SavedWrites],
        removed: Collection[str] = (),
    ) -> None:
        with self._guard:
            for each in checkpoints:
                InMemorySaver.put(self, in_namespace(each.config), each.checkpoint, each.metadata, each.new_versions)
            for written in writes:
                InMemorySaver.put_writes(self, written.config, written.writes, written.task_id, written.task_path)

    def _delete_decisions(self, thread: str, decisions: Sequence[tuple[str, str, str]]) -> None:
        with self._guard:
            for namespace, checkpoint, task in decisions:
                writes = self.writes.get((thread, namespace, checkpoint), {})
                for key in [key for key, write in writes.items() if key[0] == task and write[1] == RESUME]:
                    del writes[key]

    def _keep_latest(self, thread: str) -> None:
        latest = InMemorySaver.get_tuple(self, {"configurable": {"thread_id": thread}})
        if latest is None:
            return
        latest_id, versions = latest.checkpoint["id"], latest.checkpoint["channel_versions"]
        checkpoints = self.storage[thread][""]
        for checkpoint_id in [each for each in checkpoints if each != latest_id]:
            del checkpoints[checkpoint_id]
        for write in [each for each in self.writes if each[:2] == (thread, "") and each[2] != latest_id]:
            del self.writes[write]
        for blob in [each for each in self.blobs if each[:2] == (thread, "") and versions.get(each[2]) != each[3]]:
            del self.blobs[blob]
