"""What `prepare` left, as training finds it: its manifest and its tokens, and whether they belong together."""

from pathlib import Path
from typing import Any

from ..manifest import file_sha256, read_manifest
from .tokens import TokenArray


def prepared_manifest(data: Path) -> dict[str, Any]:
    """The manifest of prepared data. Raises ValueError where there is none."""
    found = read_manifest(data)
    if found is None or found.get("stage") != "prepare" or not found["done"]:
        raise ValueError(
            f"data: {str(data)!r} holds no prepared data; run `sagechain pretrain prepare SOURCE --out {data}` first"
        )
    return found


def token_arrays(data: Path, prepared: dict[str, Any]) -> dict[str, TokenArray]:
    """The tokens of both splits. Raises ValueError where they or the tokenizer are not those of the manifest."""
    saved = data / "tokenizer" / "tokenizer.json"
    if not saved.is_file() or file_sha256(saved) != prepared["tokenizer_sha256"]:
        raise ValueError(
            f"data: the tokenizer in {data / 'tokenizer'} is not the one that the tokens were made with; put it back, or "
            "prepare the data again"
        )
    rows = {split: TokenArray(data / "tokens", split, prepared["vocabulary"]) for split in ("train", "validation")}
    for split, row in rows.items():
        if len(row) != (expected := prepared["splits"][split]["tokens"]):
            raise ValueError(
                f"data: {data / 'tokens'} holds {len(row):,} tokens of the {split} split, and {expected:,} were prepared; "
                "put the missing files back, or prepare the data again"
            )
    return rows
