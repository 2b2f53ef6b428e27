"""Threads in this process's memory: LangGraph's own checkpointer, which can also let go of what is old."""

from collections.abc import Sequence

from langgraph.checkpoint.memory import InMemorySaver


class LatestInMemory(InMemorySaver):
    """As `InMemorySaver`, with `prune`."""

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each thread only."""
        if strategy != "keep_latest":
            raise ValueError(f"strategy: {strategy!r} is unknown; give 'keep_latest', or use delete_thread")
        for thread in map(str, thread_ids):
            saved = self.get_tuple({"configurable": {"thread_id": thread}})
            if saved is None:
                continue
            kept, versions = saved.checkpoint["id"], saved.checkpoint["channel_versions"]
            by_id = self.storage[thread][""]
            for name in [each for each in by_id if each != kept]:
                del by_id[name]
            for write in [each for each in self.writes if each[:2] == (thread, "") and each[2] != kept]:
                del self.writes[write]
            for blob in [each for each in self.blobs if each[:2] == (thread, "") and versions.get(each[2]) != each[3]]:
                del self.blobs[blob]

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        self.prune(thread_ids, strategy=strategy)
