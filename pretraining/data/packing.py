"""Documents to token files: tokenised in batches, each followed by end-of-text, nothing thrown away.

Each task of the executor reads its share of the documents and writes one token file; together, in their order, the files
are one row (`tokens.py`). A file is written under a temporary name and renamed, so a stopped run goes on at its next task.

Source: training on joined documents as in the GPT-3 paper, appendix B (arXiv 2005.14165).
"""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.batching import batched

from .executors import Executor
from .tokenizer import END_OF_TEXT, WordEncoder
from .tokens import token_dtype

DOCUMENTS_AT_ONCE = 64


def pack(
    documents: Path,
    tokens: Path,
    *,
    split: str,
    tokenizer: Path,
    passes: Path,
    executor: Executor,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, int]:
    """Write a split's documents as token files.

    Args:
        documents: folder of JSON lines with `text`.
        tokens: folder for `SPLIT-00000.bin` …; one file a task.
        tokenizer: folder of the tokenizer.
        passes: folder that keeps which tasks are done.

    Returns:
        `documents`, `tokens` (end-of-text among them) and `bytes` (UTF-8 of the texts).
    """
    tokens.mkdir(parents=True, exist_ok=True)
    steps: list[PipelineStep] = [
        JsonlReader(str(documents), compression="zstd", add_file_path=False),
        PackStep(tokenizer, tokens, split),
    ]
    stats = executor.run(f"pack {split}", steps, passes / f"pack-{split}", on_progress=on_progress)
    counted = stats.stats[-1].stats
    return {name: int(counted[name].total) for name in ("documents", "tokens", "bytes")}


class PackStep(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """The end of a pipeline: what comes in goes into one token file of this task."""

    type = "🔢 - TOKENS"
    name = "pack"

    def __init__(self, tokenizer: Path, folder: Path, split: str) -> None:
        super().__init__()
        self._tokenizer, self._folder, self._split = tokenizer, folder, split

    def run(self, data: Iterator[Document], rank: int = 0, world_size: int = 1) -> None:
        saved = self._tokenizer / "tokenizer.json"
        encoder, end = _encoder(saved, saved.stat().st_mtime_ns)
        path = self._folder / f"{self._split}-{rank:05d}.bin"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            for some in batched(data, DOCUMENTS_AT_ONCE):
                texts = [document.text for document in some]
                for ids in encoder.encode(texts):
                    file.write(ids + end)
                    self.stat_update("tokens", value=len(ids) // len(end) + 1)
                self.stat_update("documents", value=len(texts))
                self.stat_update("bytes", value=sum(len(text.encode()) for text in texts))
        partial.rename(path)


@lru_cache(maxsize=1)
def _encoder(saved: Path, changed: int) -> tuple[WordEncoder, bytes]:
    """The encoder of a saved tokenizer, with end-of-text; one process's tasks share the words that it knows."""
    # A task is one process of several: the tokenizers library must not start threads in each.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(saved))
    kind = token_dtype(tokenizer.get_vocab_size())
    return WordEncoder(tokenizer, kind), np.array([tokenizer.token_to_id(END_OF_TEXT)], kind).tobytes()
