"""Which documents are worth learning from: the published CodeParrot cleaning, and syntax, licences, secrets, keywords.

Each predicate is a small class that names its reason and says whether a document goes. `CodeFilter` applies them in
order, the cheap ones first, and counts each document under the first reason that holds. Figures and lists: `filters.yaml`.
"""

import ast
import gc
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

import yaml
from datatrove.data import Document

from .counts import CountingStep

# ASCII characters that `str.isalnum` does not count, for `bytes.translate`.
_NOT_ALPHANUMERIC = bytes(code for code in range(128) if not chr(code).isalnum())


@cache
def filter_data() -> dict[str, Any]:
    """The contents of `filters.yaml`."""
    data: dict[str, Any] = yaml.safe_load((files(__package__) / "filters.yaml").read_text(encoding="utf-8"))
    return data


class Predicate(Protocol):
    """One reason to leave a document out."""

    reason: str

    def removes(self, document: Document) -> bool:
        """Whether the document goes."""


class Keywords:
    """Keeps the documents in which one of the words occurs, anywhere, as in the Hugging Face course, chapter 7."""

    reason = "no keyword"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)

    def removes(self, document: Document) -> bool:
        return not any(word in document.text for word in self.words)


class Licenses:
    """Keeps the listed licences, in any case. A document of unknown licence goes: nobody is known to allow its use.

    The name `permissive` stands for the list of that name in `filters.yaml`.
    """

    reason = "licence"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = {name.lower() for name in names}
        if "permissive" in self.names:
            self.names.update(filter_data()["permissive_licenses"])

    def removes(self, document: Document) -> bool:
        return str(document.metadata.get("license", "")).lower() not in self.names


class LineLengths:
    """Minified code and data: the mean or the longest line is above its limit, in characters."""

    reason = "long lines"

    def __init__(self, mean: float, longest: int) -> None:
        self.mean, self.longest = mean, longest

    def removes(self, document: Document) -> bool:
        lengths = [len(line) for line in document.text.splitlines()]
        return max(lengths) > self.longest or sum(lengths) / len(lengths) > self.mean


class Alphanumeric:
    """Tables, ASCII art and encoded data: the share of letters and digits is below the limit."""

    reason = "few letters"

    def __init__(self, share: float) -> None:
        self.share = share

    def removes(self, document: Document) -> bool:
        text = document.text
        if text.isascii():
            found = len(text.encode("ascii").translate(None, _NOT_ALPHANUMERIC))
        else:
            found = sum(map(str.isalnum, text))
        return found / len(text) < self.share


class Generated:
    """A mark in the first lines says that a program wrote the file."""

    reason = "generated"

    def __init__(self) -> None:
        data = filter_data()["generated"]
        self.first_lines, self.marks = data["first_lines"], data["marks"]

    def removes(self, document: Document) -> bool:
        head = "\n".join(document.text.split("\n", self.first_lines)[: self.first_lines]).lower()
        return any(mark in head for mark in self.marks)


class Syntax:
    """Does not parse as this Python's code; Python 2 goes with it."""

    reason = "syntax"

    def removes(self, document: Document) -> bool:
        try:
            with warnings.catch_warnings(), _without_gc():
                warnings.simplefilter("ignore")
                ast.parse(document.text)
        # Nesting too deep shows as one of the last three, by version and place.
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return True
        return False


@contextmanager
def _without_gc() -> Iterator[None]:
    """A tree is many objects and no cycles: without the collector it is built a sixth faster."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Secrets:
    """Holds what looks like a credential, by the precise patterns of detect-secrets and those of `filters.yaml`."""

    reason = "secret"

    def __init__(self) -> None:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

        known: dict[str, Any] = get_mapping_from_secret_type_to_class()
        classes = {plugin.__name__: plugin for plugin in known.values()}
        self.plugins = [classes[name]() for name in filter_data()["secrets"]]
        self.tokens = re.compile("|".join(filter_data()["tokens"]), re.ASCII)

    def removes(self, document: Document) -> bool:
        # The whole text at once: by lines it is 10 times slower.
        text = document.text
        return bool(self.tokens.search(text)) or any(any(plugin.analyze_string(text)) for plugin in self.plugins)


class CodeFilter(CountingStep):
    """Passes on what no predicate removes; counts the rest under the first that does."""

    type = "filter"
    name = "code"

    def __init__(self, predicates: Sequence[Predicate]) -> None:
        super().__init__()
        self.predicates = list(predicates)

    def run(self, data: Iterable[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Filter the documents of one task."""
        for document in data:
            reason = next((test.reason for test in self.predicates if test.removes(document)), None)
            if reason is None:
                yield document
            else:
                self.leave_out(reason, len(document.text.encode("utf-8")))
