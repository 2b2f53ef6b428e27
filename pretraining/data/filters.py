"""Filters of code: a part of the published CodeParrot cleaning, and further ones.

From CodeParrot (`filters.yaml` names the source): mean and longest line, share of letters and digits, marks of generated
files; exact and near duplicates are in `deduplicate.py`. Four of its filters are absent: few characters per token,
configuration and test files, files without `def`, `class`, `for` and `while`, and few assignments. Further ones: keywords,
licences, syntax, credentials.

Each predicate is a small class with its reason. `CodeFilter` applies them in order, the cheap ones first, and counts a
document under the reason of the first one that removes it.
"""

import ast
import gc
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from datatrove.data import Document

from ..yaml_data import read_yaml
from .counts import CountingStep

# ASCII characters that `str.isalnum` does not count, for `bytes.translate`.
_NOT_ALPHANUMERIC = bytes(code for code in range(128) if not chr(code).isalnum())


def filter_data() -> Any:
    """The contents of `filters.yaml`."""
    return read_yaml(__package__, "filters.yaml")


class Predicate(Protocol):
    """One reason to leave a document out."""

    reason: str

    def removes(self, document: Document) -> bool:
        """Whether the document is left out."""


class Keywords:
    """Removes documents in which none of the words occurs, as in the Hugging Face course, chapter 7."""

    reason = "no keyword"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)

    def removes(self, document: Document) -> bool:
        return not any(word in document.text for word in self.words)


class Licenses:
    """Removes documents without one of the licences, compared without case. An unknown licence allows no use.

    The name `permissive` means all licences of `permissive_licenses` in `filters.yaml`.
    """

    reason = "licence"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = {name.lower() for name in names}
        if "permissive" in self.names:
            self.names.update(filter_data()["permissive_licenses"])

    def removes(self, document: Document) -> bool:
        return str(document.metadata.get("license", "")).lower() not in self.names


class LineLengths:
    """Removes minified code and data: the mean or the longest line is above its limit, in characters."""

    reason = "long lines"

    def __init__(self, mean: float, longest: int) -> None:
        self.mean, self.longest = mean, longest

    def removes(self, document: Document) -> bool:
        lengths = [len(line) for line in document.text.splitlines()]
        return max(lengths) > self.longest or sum(lengths) / len(lengths) > self.mean


class Alphanumeric:
    """Removes tables, ASCII art and encoded data: the share of letters and digits is below the limit."""

    reason = "few letters"

    def __init__(self, share: float) -> None:
        self.share = share

    def removes(self, document: Document) -> bool:
        text = document.text
        if text.isascii():
            alphanumeric = len(text.encode("ascii").translate(None, _NOT_ALPHANUMERIC))
        else:
            alphanumeric = sum(map(str.isalnum, text))
        return alphanumeric / len(text) < self.share


class Generated:
    """Removes files that a program wrote, according to a mark in the first lines."""

    reason = "generated"

    def __init__(self) -> None:
        data = filter_data()["generated"]
        self.first_lines, self.marks = data["first_lines"], data["marks"]

    def removes(self, document: Document) -> bool:
        head = "\n".join(document.text.split("\n", self.first_lines)[: self.first_lines]).lower()
        return any(mark in head for mark in self.marks)


class Syntax:
    """Removes what this Python cannot parse, so Python 2 as well."""

    reason = "syntax"

    def removes(self, document: Document) -> bool:
        try:
            with warnings.catch_warnings(), _without_gc():
                warnings.simplefilter("ignore")
                ast.parse(document.text)
        # Too deep nesting raises one of the last three, depending on version and place.
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return True
        return False


@contextmanager
def _without_gc() -> Iterator[None]:
    """A syntax tree is many objects without cycles: without the garbage collector it is built a sixth faster."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Secrets:
    """Removes documents with what looks like a credential, by patterns of detect-secrets and of `filters.yaml`."""

    reason = "secret"

    def __init__(self) -> None:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

        known: dict[str, Any] = get_mapping_from_secret_type_to_class()
        classes = {plugin.__name__: plugin for plugin in known.values()}
        self.plugins = [classes[name]() for name in filter_data()["secrets"]]
        self.tokens = re.compile("|".join(filter_data()["tokens"]), re.ASCII)

    def removes(self, document: Document) -> bool:
        # The whole text in one search: line by line it takes 10 times as long. Some patterns take quadratic time in a line,
        # whose length `LineLengths` limits; their `.` ends at a line feed only.
        text = "\n".join(document.text.splitlines())
        return bool(self.tokens.search(text)) or any(any(plugin.analyze_string(text)) for plugin in self.plugins)


class CodeFilter(CountingStep):
    """Passes on documents that no predicate removes; counts each other one under the first that does."""

    type = "filter"
    name = "code"

    def __init__(self, predicates: Sequence[Predicate]) -> None:
        super().__init__()
        self.predicates = list(predicates)

    def run(self, data: Iterable[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Filter the documents of one task."""
        for document in data:
            reason = next((each.reason for each in self.predicates if each.removes(document)), None)
            if reason is None:
                yield document
            else:
                self.leave_out(reason, len(document.text.encode("utf-8")))
