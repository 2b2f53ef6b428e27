"""The first bytes of a GGUF file."""

from pathlib import Path


def check_gguf(path: Path) -> None:
    """Raise ValueError if the file is not GGUF."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"path: {str(path)!r} is not a GGUF file")
