"""The folder that `prepare` writes: its manifest, its tokens, and whether they match what a caller wants."""

from pathlib import Path
from typing import Any

from ..manifest import file_sha256, read_manifest, stage_manifest
from .executors import has_noted_jobs
from .tokens import TokenArray

SOURCE_CHANGED = "the source changed since"


def prepared_manifest(data: Path) -> dict[str, Any]:
    """The manifest of complete data. Raises ValueError if the folder has none."""
    manifest = read_manifest(data)
    if manifest is None or manifest.get("stage") != "prepare" or not manifest["done"]:
        raise ValueError(
            f"data: {str(data)!r} does not contain prepared data; run `sagechain pretrain prepare SOURCE --out {data}`"
        )
    return manifest


def token_arrays(data: Path, manifest: dict[str, Any]) -> dict[str, TokenArray]:
    """The tokens of both splits. Raises ValueError if they or the tokenizer are not those of the manifest."""
    tokenizer = data / "tokenizer" / "tokenizer.json"
    if not tokenizer.is_file() or file_sha256(tokenizer) != manifest["tokenizer_sha256"]:
        raise ValueError(
            f"data: the tokenizer in {data / 'tokenizer'} is not the one that encoded the tokens; restore it, or "
            "prepare the data again"
        )
    arrays = {split: TokenArray(data / "tokens", split, manifest["vocabulary"]) for split in ("train", "validation")}
    for split, tokens in arrays.items():
        if len(tokens) != (expected := manifest["splits"][split]["tokens"]):
            raise ValueError(
                f"data: {data / 'tokens'} contains {len(tokens):,} tokens of the {split} split, and {expected:,} were "
                "prepared; put the missing files back, or prepare the data again"
            )
    return arrays


def is_prepared(out: Path, inputs: dict[str, Any]) -> bool:
    """Whether the folder contains complete data of these inputs.

    Raises:
        ValueError: it contains something else, or data of other inputs that a new start would lose.
    """
    manifest = stage_manifest(out, "prepare", "prepared data")
    if manifest is None:
        return False
    changes = changed_inputs(manifest, inputs)
    # Unfinished work on a source that changed is started again, unless a Slurm job may still write to the folder.
    is_outdated = not manifest["done"] and changes == [SOURCE_CHANGED] and not has_noted_jobs(out)
    if changes and not is_outdated and "failed" not in manifest:
        or_train = (
            f"; `sagechain pretrain train {out} --out RUN` trains on them as they are" if manifest["done"] else ""
        )
        raise ValueError(
            f"out: {str(out)!r} contains data of other settings or another source: {', '.join(changes)}. Give the same "
            f"again, or name another folder{or_train}."
        )
    return manifest["done"] and _is_intact(out, manifest)


def changed_inputs(manifest: dict[str, Any], inputs: dict[str, Any]) -> list[str]:
    """The inputs that differ from those in the manifest, each with both values. Sources are compared by their contents."""
    old, new = manifest["inputs"], dict(inputs)
    if manifest["done"] and not new["source_sha256"] and new["source"] == old["source"]:
        new["source_sha256"] = old["source_sha256"]  # offline it cannot be known whether a data set changed
    before, now = old | old["settings"], new | new["settings"]
    names = sorted(now.keys() - {"source", "source_sha256", "settings"})
    changes = [f"{name}={now[name]!r} (was {before.get(name)!r})" for name in names if now[name] != before.get(name)]
    if old["source_sha256"] == new["source_sha256"]:
        return changes
    is_same_source = old["source"] == new["source"]
    return [SOURCE_CHANGED if is_same_source else f"source={new['source']!r} (was {old['source']!r})", *changes]


def _is_intact(out: Path, manifest: dict[str, Any]) -> bool:
    try:
        token_arrays(out, manifest)
    except (OSError, ValueError):
        return False
    return True
