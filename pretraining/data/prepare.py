"""Prepare a corpus for training: `prepare("stdlib", "data")` → documents, a tokenizer, tokens.

The work is divided into passes of tasks, and a finished task is not run again, so a stopped call resumes where it
stopped. A call with the same inputs on complete data does nothing.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..display import console
from ..errors import NothingLeft
from ..folder_lock import lock_folder
from ..launcher import is_first
from ..manifest import file_sha256, files_sha256, read_manifest, write_manifest
from .prepared import changed_inputs, is_prepared

if TYPE_CHECKING:
    from .corpus import CorpusReport
    from .corpus_settings import CorpusSettings
    from .executors import Executor
    from .sources import Source

SAMPLE_BYTES = 16_000_000  # of text that the tokenizer is trained on
SPLITS = ("train", "validation")
PATTERN_CHARACTERS = ("*", "?", "[", "::")  # fsspec, by which datatrove reads and writes, treats them as patterns


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    keywords: Sequence[str] = (),
    vocab_size: int = 8192,
    context: int = 256,
    workers: int | None = None,
    executor: "Executor | None" = None,
    **settings: Any,
) -> Path:
    """Prepare training data from a source.

    Args:
        source: `stdlib`, a folder or a file of code, JSON lines or parquet, or `hf:NAME[@REVISION][#CONFIG]` for a
            Hugging Face data set.
        out: folder for the data.
        keywords: only documents that contain one of them are used; all documents if not given.
        vocab_size: tokens of the tokenizer.
        context: the model's context in tokens; `train` may use fewer.
        workers: processes; one for each core if not given.
        executor: a `sagechain.pretraining.data.Executor`, for Slurm and Ray.
        settings: fields of `sagechain.pretraining.data.CorpusSettings`.

    Returns:
        The folder.

    Raises:
        ValueError: no such source, a setting that is unknown or out of range, or `out` contains something else.
        NothingLeft: the filters left too few documents; the same folder can be used with other settings.
        PretrainingError: a pass failed, or another process works in `out`; finished tasks are not lost.
    """
    from .corpus_settings import CorpusSettings
    from .executors import Executor
    from .sources import open_source
    from .tokenizer import check_vocab_size

    out = Path(out)
    opened = open_source(str(source))
    check_vocab_size(vocab_size)
    if context < 2:
        raise ValueError(f"context: {context} is too short; at least 2 tokens")
    corpus_settings = CorpusSettings.model_validate({"keywords": keywords, **settings})
    if not corpus_settings.validation_share:
        raise ValueError("validation_share: 0 leaves no data for evaluation; give a share above 0, such as 0.01")
    executor = executor or Executor(**({"workers": workers} if workers else {}))
    opened.check()
    with tempfile.TemporaryDirectory() as scratch:
        listing = Path(scratch) / "inputs.jsonl"
        inputs = {
            "source": opened.name,
            "source_sha256": opened.write_listing(listing, output=out),
            "settings": corpus_settings.model_dump(mode="json"),
            "vocab_size": vocab_size,
            "context": context,
            "tasks": executor.tasks,
        }
        if is_prepared(out, inputs):
            return out
        executor.check()
        _check_folder_name(out)
        _check_single_process()
        with lock_folder(out):
            if not is_prepared(out, inputs):
                _prepare(opened, listing, out, inputs, corpus_settings, executor)
    return out


def _prepare(
    source: "Source",
    listing: Path,
    out: Path,
    inputs: dict[str, Any],
    settings: "CorpusSettings",
    executor: "Executor",
) -> None:
    from .corpus import write_corpus
    from .packing import pack

    _remove_outdated(out, inputs)
    unfinished = {"stage": "prepare", "done": False, "inputs": inputs, "source": source.name}
    write_manifest(out, unfinished)
    try:
        with executor.session() as running:
            report = write_corpus(source, listing, out / "corpus", settings, running)
            tokenizer = _tokenizer(out, report.train_bytes, inputs["vocab_size"], inputs["context"])
            counts = {
                split: pack(
                    out / "corpus" / split,
                    out / "tokens",
                    split=split,
                    tokenizer=tokenizer,
                    passes=out / "passes",
                    executor=running,
                )
                for split in SPLITS
            }
    except NothingLeft as error:
        write_manifest(out, unfinished | {"failed": str(error)})
        raise
    except KeyboardInterrupt:
        console().print("Stopped. Finished tasks are saved; the same command resumes from there.")
        raise
    shutil.rmtree(out / "passes", ignore_errors=True)
    write_manifest(out, unfinished | _results(out, report, counts, inputs["context"]))


def _remove_outdated(out: Path, inputs: dict[str, Any]) -> None:
    """Remove output of other inputs, and damaged tokens of complete data."""
    manifest = read_manifest(out)
    if manifest is None:
        return
    changes = changed_inputs(manifest, inputs)
    if not changes and not manifest["done"]:
        return
    reason = ", ".join(changes) or "its tokens or its tokenizer changed or are missing"
    console().print(f"prepare: making the data again: {reason}")
    for name in (*(["corpus"] if changes else []), "tokenizer", "tokens", "passes"):
        shutil.rmtree(out / name, ignore_errors=True)


def _check_folder_name(out: Path) -> None:
    if any(characters in str(out.absolute()) for characters in PATTERN_CHARACTERS):
        raise ValueError(f"out: {str(out)!r}: the characters * ? [ :: do not work in it; name another folder")


def _check_single_process() -> None:
    """The processes of a launcher would write the same files at the same time."""
    if not is_first():
        raise ValueError(
            f"RANK={os.environ['RANK']}: `prepare` is for one process, whose workers share the work; call it before "
            "torchrun or accelerate, or where RANK is 0 only"
        )


def _tokenizer(out: Path, train_bytes: int, vocab_size: int, context: int) -> Path:
    """The tokenizer's folder; it is trained on the train split where it does not exist."""
    folder, partial = out / "tokenizer", out / "tokenizer.partial"
    if not folder.is_dir():
        from .tokenizer import train_tokenizer

        texts = _sample(out / "corpus" / "train", train_bytes)
        shutil.rmtree(partial, ignore_errors=True)
        train_tokenizer(texts, vocab_size=vocab_size, context=context).save_pretrained(partial)
        partial.rename(folder)
    console().print("prepare: tokenizer")
    return folder


def _sample(documents: Path, total_bytes: int) -> Iterator[str]:
    """The documents, or an even sample of about `SAMPLE_BYTES` of them: the tokenizer's memory grows with its texts."""
    from .corpus import read_documents

    share = min(1.0, SAMPLE_BYTES / max(total_bytes, 1))
    limit = int(share * (1 << 32))
    for document in read_documents(documents):
        if int(document.metadata["sha256"][-8:], 16) < limit:
            yield document.text


def _results(out: Path, report: "CorpusReport", counts: dict[str, dict[str, int]], context: int) -> dict[str, Any]:
    """The manifest's fields of complete data. Bytes per token count the end-of-text tokens as well."""
    from transformers import AutoTokenizer

    return {
        "done": True,
        "vocabulary": len(AutoTokenizer.from_pretrained(out / "tokenizer")),
        "context": context,
        "corpus": report.model_dump(),
        "splits": counts,
        "tokens": counts["train"]["tokens"],
        "bytes_per_token": {split: count["bytes"] / count["tokens"] for split, count in counts.items()},
        "tokenizer_sha256": file_sha256(out / "tokenizer" / "tokenizer.json"),
        "tokens_sha256": files_sha256(sorted((out / "tokens").glob("*.bin"))),
    }
