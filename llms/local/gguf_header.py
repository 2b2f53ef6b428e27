"""GGUF files: their first bytes, and their parts."""

import re
from pathlib import Path

# llama.cpp's name of a part, `llama_split_path`: it loads the other parts itself, from the folder of the first.
PART = re.compile(r"(.*)-\d{5}-of-(\d{5})\.gguf", re.DOTALL)


def check_gguf(path: Path) -> None:
    """Raise ValueError if the file is not GGUF."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"path: {str(path)!r} is not a GGUF file")


def gguf_files(path: Path) -> list[Path]:
    """The file, or all existing parts of a model whose first part it is."""
    if not (part := PART.fullmatch(path.name)):
        return [path]
    parts = (path.with_name(f"{part[1]}-{number:05d}-of-{part[2]}.gguf") for number in range(1, int(part[2]) + 1))
    return [each for each in parts if each == path or each.is_file()]
