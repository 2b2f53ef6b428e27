"""What `prepare` left, as training finds it: its manifest and its tokens, and whether they belong together."""

from pathlib import Path
from typing import Any

from ..manifest import digest_of_file, read_manifest
from .tokens import TokenRow


def prepared_data(data: Path) -> dict[str, Any]:
    """The manifest of prepared data. Raises ValueError where there is none."""
    found = read_manifest(data)
    if found is None or found.get("stage") != "prepare" or not found["done"]:
        raise ValueError(
            f"data: {str(data)!r} holds no prepared data; run `sagechain pretrain prepare SOURCE --out {data}` first"
        )
    return found


def token_rows(data: Path, prepared: dict[str, Any]) -> dict[str, TokenRow]:
    """The tokens of both splits. Raises ValueError where they or the tokenizer are not those of the manifest."""
    saved = data / "tokenizer" / "tokenizer.json"
    if not saved.is_file() or digest_of_file(saved) != prepared["tokenizer_sha256"]:
        raise ValueError(
            f"data: the tokenizer in {data / 'tokenizer'} is not the one that the tokens were made with; put it back, or "
            "prepare the data again"
        )
    rows = {split: TokenRow(data / "tokens", split, prepared["vocabulary"]) for split in ("train", "validation")}
    for split, row in rows.items():
        if len(row) != (expected := prepared["splits"][split]["tokens"]):
            raise ValueError(
                f"data: {data / 'tokens'} holds {len(row):,} tokens of the {split} split, and {expected:,} were prepared; "
                "put the missing files back, or prepare the data again"
            )
    return rows
