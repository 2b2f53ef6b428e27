"""What a running turn has not saved yet: its checkpoints and writes, in memory, and how they look beside what is stored."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver

# langgraph 1.2: the channels of a person's decisions, and of a failed node
RESUME, ERROR = "__resume__", "__error__"


@dataclass(frozen=True)
class SavedCheckpoint:
    """The arguments of a checkpointer's `put`."""

    config: RunnableConfig
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    new_versions: ChannelVersions


@dataclass(frozen=True)
class SavedWrites:
    """The arguments of a checkpointer's `put_writes`."""

    config: RunnableConfig
    writes: Sequence[tuple[str, Any]]
    task_id: str
    task_path: str


class TurnBuffer:
    """What a running turn has not saved yet.

    Args:
        thread: the thread's name.
        serde: the checkpointer's serializer.
    """

    def __init__(self, thread: str, serde: Any) -> None:
        self.thread, self.owner = thread, current_caller()
        self.lock = threading.RLock()
        self.saves_steps = False
        """Whether the turn continues a stopped one."""
        self.decisions: list[tuple[str, str, str]] = []
        """Namespace, checkpoint and task of decisions that are saved and not acted on yet."""
        self.removed = set[str]()
        """The ids of messages that leave the transcript when the turn is saved."""
        self._serde = serde
        self._first_step: int | None = None
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._buffer = InMemorySaver(serde=self._serde)
        self.removed.clear()

    @property
    def has_checkpoints(self) -> bool:
        return any(self._buffer.storage[self.thread].values())

    @property
    def failed(self) -> bool:
        """Whether a node failed after the latest checkpoint of the root graph."""
        latest = max(self._buffer.storage[self.thread].get("", ()), default="")
        return any(
            write[1] == ERROR
            for (_, namespace, checkpoint), writes in self._buffer.writes.items()
            if namespace == "" and checkpoint >= latest
            for write in writes.values()
        )

    def continues(self, config: RunnableConfig, metadata: CheckpointMetadata) -> bool:
        """Whether a new checkpoint is the first of a run that continues a stopped one."""
        is_root = not config["configurable"].get("checkpoint_ns")
        is_first = not self._buffer.storage[self.thread].get("")
        return is_root and is_first and metadata.get("source") == "loop" and metadata.get("step") == self._first_step

    def put(self, saved: SavedCheckpoint) -> RunnableConfig:
        """Buffer a checkpoint; with all its channels, since the older ones may be in the database."""
        versions = saved.checkpoint["channel_versions"]
        return self._buffer.put(in_namespace(saved.config), saved.checkpoint, saved.metadata, versions)

    def put_writes(self, saved: SavedWrites) -> None:
        """Buffer a task's writes."""
        self._buffer.put_writes(in_namespace(saved.config), saved.writes, saved.task_id, saved.task_path)

    def latest(self, config: RunnableConfig, stored: CheckpointTuple | None) -> CheckpointTuple | None:
        """What `get_tuple` returns in this turn, given what is stored."""
        buffered = self._buffer.get_tuple(config)
        if buffered is None or (stored is not None and stored.checkpoint["id"] > buffered.checkpoint["id"]):
            if not config["configurable"].get("checkpoint_ns"):
                self._first_step = None if stored is None else stored.metadata.get("step", -2) + 1
            return stored and self._with_writes(stored)
        return buffered

    def merged(
        self, config: RunnableConfig | None, stored: Sequence[CheckpointTuple], limit: int | None, **options: Any
    ) -> list[CheckpointTuple]:
        """What `list` returns in this turn, given what is stored."""
        buffered = self._buffer.list(config, **options)
        found = [*buffered, *(self._with_writes(each) for each in stored)]
        return sorted(found, key=lambda each: each.checkpoint["id"], reverse=True)[:limit]

    def checkpoints(self) -> list[SavedCheckpoint]:
        """The buffered checkpoints, oldest first."""
        found = sorted(self._buffer.list(None), key=lambda each: each.checkpoint["id"])
        return [
            SavedCheckpoint(
                each.parent_config or address_of(self.thread, each.config["configurable"]["checkpoint_ns"]),
                each.checkpoint,
                each.metadata,
                each.checkpoint["channel_versions"],
            )
            for each in found
        ]

    def writes(self) -> list[SavedWrites]:
        """The buffered writes, in their order."""
        found: dict[Any, SavedWrites] = {}
        for (_, namespace, checkpoint), tasks in self._buffer.writes.items():
            for (task, index), (_, channel, value, path) in sorted(tasks.items(), key=lambda item: item[0]):
                config = address_of(self.thread, namespace, checkpoint)
                # LangGraph numbers the writes of a call from 0; special ones have numbers below 0 and come alone.
                key = (namespace, checkpoint, task, min(index, 0))
                earlier = found[key].writes if key in found else ()
                writes = [*earlier, (channel, self._serde.loads_typed(value))]
                found[key] = SavedWrites(config, writes, task, path)
        return list(found.values())

    def _with_writes(self, stored: CheckpointTuple) -> CheckpointTuple:
        address = stored.config["configurable"]
        key = (self.thread, address.get("checkpoint_ns", ""), stored.checkpoint["id"])
        if key not in self._buffer.writes:
            return stored
        ordered = self._buffer._ordered_writes(*key)
        writes = [(task, channel, self._serde.loads_typed(value)) for task, channel, value, _ in ordered]
        return stored._replace(pending_writes=[*(stored.pending_writes or ()), *writes])


def address_of(thread: str, namespace: str, checkpoint: str | None = None) -> RunnableConfig:
    """The configuration that names a checkpoint, or the latest of a namespace."""
    address = {"thread_id": thread, "checkpoint_ns": namespace}
    return {"configurable": address if checkpoint is None else {**address, "checkpoint_id": checkpoint}}


def in_namespace(config: RunnableConfig) -> RunnableConfig:
    """The configuration with a namespace, which `InMemorySaver.put` needs."""
    return {**config, "configurable": {"checkpoint_ns": "", **config["configurable"]}}


def current_caller() -> tuple[int, Any]:
    """The Python thread and task that run this: a turn may be entered again inside itself."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task
