"""Files that a question is about (`-f`): read, checked, and laid out so that none of their text can end its own block.

with_fragments("What is wrong here?", read_fragments(["src/*.py", "-"]))
"""

import glob
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sagechain.prompts import visible_line

MAX_BYTES = 4_000_000  # of all files of one question: about a million tokens
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Fragment:
    """A text and where it comes from."""

    name: str
    text: str

    def __str__(self) -> str:
        """The text in a block under its name; the block's fence is longer than every run of backticks in the text."""
        longest = max((len(run) for run in re.findall(r"`++", self.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"File {visible_line(self.name)}:\n{fence}\n{self.text.rstrip()}\n{fence}"


def read_fragments(places: Sequence[str]) -> list[Fragment]:
    """The texts of files, in the order given; a file that is named twice counts once.

    Args:
        places: paths; patterns such as `src/**/*.py`, for shells that pass them on; `-` for standard input.

    Raises:
        ValueError: a file that is missing, unreadable, empty or not UTF-8 text, a pattern that no file matches, or more
            than `MAX_BYTES` in all.
    """
    fragments, remaining = [], MAX_BYTES
    for place in dict.fromkeys(chain.from_iterable(map(_expanded, places))):
        data = _read(place, remaining + 1)
        remaining -= len(data)
        if remaining < 0:
            raise ValueError(
                f"-f {place}: the files of a question may have {MAX_BYTES:,} bytes in all, and this one exceeds that; "
                "give fewer or shorter files"
            )
        fragments.append(Fragment("standard input" if place == STANDARD_INPUT else place, _decoded(place, data)))
    return fragments


def with_fragments(question: str, fragments: Sequence[Fragment]) -> str:
    """The files, and below them the question, if there is one."""
    return "\n\n".join([*map(str, fragments), *([question] if question else [])])


def _expanded(place: str) -> Iterator[str]:
    """The files that a path or a pattern names, sorted."""
    if place == STANDARD_INPUT:
        yield place
        return
    if re.match(r"https?://", place):
        raise ValueError(f"-f {place}: only files are read; for a page: curl -s URL | sagechain ask -f - …")
    path = Path(place).expanduser()
    if path.exists() or not glob.has_magic(place):
        yield str(path)
        return
    matches = sorted(match for match in glob.iglob(str(path), recursive=True) if Path(match).is_file())
    if not matches:
        raise ValueError(f"-f {place}: no file matches this pattern")
    yield from matches


def _read(place: str, limit: int) -> bytes:
    """The bytes of a file, a pipe or standard input; of a longer one `limit` bytes."""
    try:
        if place == STANDARD_INPUT:
            return b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read(limit)
        with Path(place).open("rb") as file:
            return file.read(limit)
    except IsADirectoryError:
        raise ValueError(f"-f {place}: this is a folder; name its files, for example '{place.rstrip('/')}/*'") from None
    except OSError as error:
        raise ValueError(f"-f {place}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the path
        raise ValueError(f"-f {visible_line(place)}: not a path: {error}") from None


def _decoded(place: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"-f {place}: not UTF-8 text: byte {error.start + 1}: {error.reason}; convert it, for example with "
            "`iconv -f latin1 -t utf-8`"
        ) from None
    if "\0" in text:
        raise ValueError(f"-f {place}: a binary file; only text can be sent")
    if not text.strip():
        raise ValueError(f"-f {place}: the file is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")
