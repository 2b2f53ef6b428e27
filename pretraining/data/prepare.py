"""Prepare a corpus for training: `prepare("stdlib", "data")` → documents, a tokenizer, tokens.

Each pass is cut into tasks, and a finished task is not done again, so a stopped call goes on where it was. A call with the
same inputs on a folder that is done does nothing.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..display import console, print_passes
from ..folder_lock import lock_folder
from ..launcher import is_first
from ..manifest import file_sha256, files_sha256, read_manifest, stage_manifest, write_manifest
from .slurm import NOTE

if TYPE_CHECKING:
    from .corpus import CorpusSettings
    from .executors import Executor

SAMPLE_BYTES = 16_000_000  # of text that the tokenizer is trained on
CHANGED_SINCE = "the source changed since"


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    keywords: "list[str] | tuple[str, ...]" = (),
    vocab_size: int = 8192,
    context: int = 256,
    workers: int | None = None,
    executor: "Executor | None" = None,
    **settings: Any,
) -> Path:
    """Make training data of a source.

    Args:
        source: `stdlib`, a folder or a file of code, JSON lines or parquet, or `hf:NAME[@REVISION][#CONFIG]` for a
            Hugging Face data set.
        out: folder for the data.
        keywords: a document is kept where it holds any of them; all are where none is given.
        vocab_size: tokens of the tokenizer.
        context: tokens that a model of it reads at once; `train` may ask for fewer.
        workers: processes; as many as there are cores if not given.
        executor: a `sagechain.pretraining.data.executors.Executor`, for Slurm and Ray.
        settings: fields of `sagechain.pretraining.data.corpus.CorpusSettings`.

    Returns:
        The folder.

    Raises:
        ValueError: no such source, a setting that is unknown or out of range, or `out` holds something else.
        NothingLeft: the filters left too little; other settings may be given for the same folder.
        PretrainingError: a pass failed, or another process works in `out`; what was finished before is kept.
    """
    from .corpus import CorpusSettings
    from .executors import Executor
    from .sources import check_source
    from .tokenizer import check_vocab_size

    out = Path(out)
    check_vocab_size(vocab_size)
    if context < 2:
        raise ValueError(f"context: {context} is too short; at least 2 tokens")
    chosen = CorpusSettings.model_validate({"keywords": keywords, **settings})
    if not chosen.validation_share:
        raise ValueError("validation_share: 0 leaves nothing to judge a model by; give a share above 0, such as 0.01")
    executor = executor or Executor(**({"workers": workers} if workers else {}))
    check_source(str(source))
    inputs = {
        "source": str(source),
        "source_sha256": _listing_digest(str(source), out),
        "settings": chosen.model_dump(mode="json"),
        "vocab_size": vocab_size,
        "context": context,
        "tasks": executor.tasks,
    }
    if _is_done(out, inputs):
        return out
    _check_alone()
    with lock_folder(out):
        if not _is_done(out, inputs):
            _prepare(out, inputs, chosen, executor)
    return out


def _is_done(out: Path, inputs: dict[str, Any]) -> bool:
    """Whether these data are there already. Raises ValueError where others are, or work on others would be lost."""
    found = stage_manifest(out, "prepare", "prepared data")
    if found is None:
        return False
    changed = _changed(found, inputs)
    # A job that is still in Slurm's queue would go on writing what is begun anew.
    is_stale = not found["done"] and changed == [CHANGED_SINCE] and not any(out.rglob(NOTE))
    if changed and not is_stale and "failed" not in found:
        or_train = f"; `sagechain pretrain train {out} --out RUN` trains on them as they are" if found["done"] else ""
        raise ValueError(
            f"out: {str(out)!r} holds data that were made otherwise: {', '.join(changed)}. Give the same again, or name "
            f"another folder{or_train}."
        )
    return found["done"] and _is_whole(out, found)


def _changed(found: dict[str, Any], inputs: dict[str, Any]) -> list[str]:
    """Which inputs are others than those in the manifest, each with both values. A source is what it holds."""
    then, now = found["inputs"], dict(inputs)
    if found["done"] and not now["source_sha256"] and now["source"] == then["source"]:
        now["source_sha256"] = then["source_sha256"]  # offline nobody can tell whether it changed
    before, after = then | then["settings"], now | now["settings"]
    names = sorted(after.keys() - {"source", "source_sha256", "settings"})
    changed = [
        f"{name}={after[name]!r} (was {before.get(name)!r})" for name in names if after[name] != before.get(name)
    ]
    if then["source_sha256"] == now["source_sha256"]:
        return changed
    is_same = then["source"] == now["source"]
    return [CHANGED_SINCE if is_same else f"source={now['source']!r} (was {then['source']!r})", *changed]


def _is_whole(out: Path, found: dict[str, Any]) -> bool:
    from .prepared import token_arrays

    try:
        token_arrays(out, found)
    except (OSError, ValueError):
        return False
    return True


def _prepare(out: Path, inputs: dict[str, Any], settings: "CorpusSettings", executor: "Executor") -> None:
    from ..errors import NothingLeft
    from .corpus import write_corpus
    from .packing import pack

    _begin_anew_where_other(out, inputs)
    begun = {"stage": "prepare", "done": False, "inputs": inputs, "source": inputs["source"]}
    write_manifest(out, begun)
    show = print_passes(console())
    with executor.session() as running, _said_how_to_go_on():
        try:
            report = write_corpus(inputs["source"], out / "corpus", settings, running, on_progress=show)
        except NothingLeft as error:
            write_manifest(out, begun | {"failed": str(error)})
            raise
        tokenizer = _tokenizer(out, report.train_bytes, inputs["vocab_size"], inputs["context"])
        packed = {
            split: pack(
                out / "corpus" / split,
                out / "tokens",
                split=split,
                tokenizer=tokenizer,
                passes=out / "passes",
                executor=running,
                on_progress=show,
            )
            for split in ("train", "validation")
        }
    shutil.rmtree(out / "passes", ignore_errors=True)
    write_manifest(out, begun | _figures(out, report.model_dump(), packed, inputs["context"]))


def _begin_anew_where_other(out: Path, inputs: dict[str, Any]) -> None:
    """Remove what was made of the corpus where its inputs were others, or it is whole no more; see `write_corpus`."""
    found = read_manifest(out)
    if found is None:
        return
    changed = _changed(found, inputs)
    if found["done"] or changed:
        console().print(
            f"prepare: made anew: {', '.join(changed) or 'its tokens or its tokenizer are not as they were'}"
        )
        for made_of_the_corpus in ("tokenizer", "tokens", "passes"):
            shutil.rmtree(out / made_of_the_corpus, ignore_errors=True)


def _check_alone() -> None:
    """The processes of a launcher would write the same files at once."""
    if not is_first():
        raise ValueError(
            f"RANK={os.environ['RANK']}: `prepare` is for one process, whose workers share the work; call it before "
            "torchrun or accelerate, or where RANK is 0 only"
        )


@contextmanager
def _said_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console().print("Stopped; the tasks that were finished are kept. The same command goes on from there.")
        raise


def _listing_digest(source: str, out: Path) -> str:
    """The SHA-256 of the list of a source's files, of their names and contents; "" for a data set of the hub, offline."""
    from . import hub
    from .sources import write_inputs

    if source.startswith("hf:") and not hub.data_set(source).is_folder and hub.is_offline():
        return ""
    with tempfile.TemporaryDirectory() as folder:
        return write_inputs(source, Path(folder) / "inputs.jsonl", without=out.absolute() if out.is_dir() else None)


def _tokenizer(out: Path, train_bytes: int, vocab_size: int, context: int) -> Path:
    """Train the tokenizer on the train split, or find it."""
    folder, partial = out / "tokenizer", out / "tokenizer.partial"
    if not folder.is_dir():
        from .tokenizer import train_tokenizer

        texts = _sampled(out / "corpus" / "train", train_bytes)
        shutil.rmtree(partial, ignore_errors=True)
        train_tokenizer(texts, vocab_size=vocab_size, context=context).save_pretrained(partial)
        partial.rename(folder)
    console().print("prepare: tokenizer")
    return folder


def _sampled(documents: Path, total_bytes: int) -> Iterator[str]:
    """The documents, or an even sample of them of about `SAMPLE_BYTES`: the tokenizer's memory grows with its texts."""
    from .corpus import read_documents

    share = min(1.0, SAMPLE_BYTES / max(total_bytes, 1))
    limit = int(share * (1 << 32))
    for document in read_documents(documents):
        if int(document["metadata"]["sha256"][-8:], 16) < limit:
            yield document["text"]


def _figures(out: Path, report: dict[str, Any], packed: dict[str, dict[str, int]], context: int) -> dict[str, Any]:
    """What the manifest says of data that is done. Bytes per token is the tokenizer's fertility, end-of-text counted."""
    from transformers import AutoTokenizer

    return {
        "done": True,
        "vocabulary": len(AutoTokenizer.from_pretrained(out / "tokenizer")),
        "context": context,
        "corpus": report,
        "splits": packed,
        "tokens": packed["train"]["tokens"],
        "bytes_per_token": {split: counts["bytes"] / counts["tokens"] for split, counts in packed.items()},
        "tokenizer_sha256": file_sha256(out / "tokenizer" / "tokenizer.json"),
        "tokens_sha256": files_sha256(sorted((out / "tokens").glob("*.bin"))),
    }
