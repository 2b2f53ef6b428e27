"""Threads in this process's memory."""

from collections.abc import Sequence

from langgraph.checkpoint.memory import InMemorySaver


class PrunableInMemorySaver(InMemorySaver):
    """LangGraph's `InMemorySaver`, with `prune`."""

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all checkpoints of each thread but the latest."""
        if strategy != "keep_latest":
            raise ValueError(f"strategy: {strategy!r} is unknown; give 'keep_latest', or use delete_thread")
        for thread in map(str, thread_ids):
            latest = self.get_tuple({"configurable": {"thread_id": thread}})
            if latest is None:
                continue
            latest_id, versions = latest.checkpoint["id"], latest.checkpoint["channel_versions"]
            checkpoints = self.storage[thread][""]
            for checkpoint_id in [each for each in checkpoints if each != latest_id]:
                del checkpoints[checkpoint_id]
            for write in [each for each in self.writes if each[:2] == (thread, "") and each[2] != latest_id]:
                del self.writes[write]
            for blob in [each for each in self.blobs if each[:2] == (thread, "") and versions.get(each[2]) != each[3]]:
                del self.blobs[blob]

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        self.prune(thread_ids, strategy=strategy)
