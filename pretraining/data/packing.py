"""Documents to token files: tokenised in batches, each document followed by end-of-text, nothing dropped.

Each task of the executor reads its share of the documents and writes one token file; in their order the files are one
long array (`tokens.py`). A file is written under a temporary name and renamed, so a stopped run resumes at its next task.

Source: training on joined documents as in the GPT-3 paper, appendix B (arXiv 2005.14165).
"""

import os
from collections.abc import Iterator
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

BATCH_DOCUMENTS = 64


def pack(
    documents: Path, tokens: Path, *, split: str, tokenizer: Path, passes: Path, executor: Executor
) -> dict[str, int]:
    """Write a split's documents as token files.

    Args:
        documents: folder of JSON lines with `text`.
        tokens: folder for `SPLIT-00000.bin` …; one file for each task.
        tokenizer: folder of the tokenizer.
        passes: folder in which finished tasks are marked.

    Returns:
        `documents`, `tokens` (with end-of-text) and `bytes` (of the texts in UTF-8).
    """
    tokens.mkdir(parents=True, exist_ok=True)
    steps: list[PipelineStep] = [
        JsonlReader(str(documents), compression="zstd", add_file_path=False),
        PackStep(tokenizer, tokens, split),
    ]
    stats = executor.run(f"pack {split}", steps, passes / f"pack-{split}")
    totals = stats.stats[-1].stats
    return {name: int(totals[name].total) for name in ("documents", "tokens", "bytes")}


class PackStep(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """The last step of a pipeline: writes the documents to the token file of its task."""

    type = "🔢 - TOKENS"
    name = "pack"

    def __init__(self, tokenizer: Path, folder: Path, split: str) -> None:
        super().__init__()
        self._tokenizer, self._folder, self._split = tokenizer, folder, split

    def run(self, data: Iterator[Document], rank: int = 0, world_size: int = 1) -> None:
        file_name = self._tokenizer / "tokenizer.json"
        encoder, end = _encoder(file_name, file_name.stat().st_mtime_ns)
        path = self._folder / f"{self._split}-{rank:05d}.bin"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            for batch in batched(data, BATCH_DOCUMENTS):
                texts = [document.text for document in batch]
                for ids in encoder.encode(texts):
                    file.write(ids + end)
                    self.stat_update("tokens", value=len(ids) // len(end) + 1)
                self.stat_update("documents", value=len(texts))
                self.stat_update("bytes", value=sum(len(text.encode()) for text in texts))
        partial.rename(path)


@lru_cache(maxsize=1)
def _encoder(file_name: Path, changed: int) -> tuple[WordEncoder, bytes]:
    """The encoder of a saved tokenizer, and end-of-text as bytes. All tasks of a process share its cache of words.

    Args:
        changed: time of the last change, so that another tokenizer at the same place gets another encoder.
    """
    # Several processes run tasks: the tokenizers library must not start threads in each.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file_name))
    dtype = token_dtype(tokenizer.get_vocab_size())
    return WordEncoder(tokenizer, dtype), np.array([tokenizer.token_to_id(END_OF_TEXT)], dtype).tobytes()
