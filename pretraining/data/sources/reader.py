"""The first step of a pipeline: the documents of a task's share of a source, each checked, the others counted."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from datatrove.data import Document

from ..counts import CountingStep
from .formats import LeftOut, Row
from .source import Source


class SourceReader(CountingStep):
    """Yields documents, and counts the omitted ones by reason.

    A document has its text, an id that names its place in the source, and in its metadata `path`, `sha256` (of the
    text's UTF-8 bytes) and, where known, `repo_name` and `license`.

    Args:
        listing: the file that `Source.write_listing` wrote.
        max_bytes: size of the largest document; larger ones are never in memory as a whole.
    """

    type = "reader"
    name = "source"

    def __init__(self, source: Source, listing: Path, max_bytes: int) -> None:
        super().__init__()
        self.source, self.listing, self.max_bytes = source, listing, max_bytes

    def run(self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Read the share of task `rank`."""
        for row in self.source.rows(self.listing, rank, world_size, self.max_bytes):
            if isinstance(row, LeftOut):
                self.leave_out(row.reason, row.size, row.documents)
            elif (document := self._document(row)) is not None:
                yield document

    def _document(self, row: Row) -> Document | None:
        try:
            content = row.text.encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can carry
            self.leave_out("not UTF-8", len(row.text))
            return None
        reason = "too large" if len(content) > self.max_bytes else "binary" if "\0" in row.text else ""
        if reason or not row.text.strip():
            self.leave_out(reason or "empty", len(content))
            return None
        self.count("read", len(content))
        metadata = {name: _without_surrogates(value) for name, value in row.metadata.items()}
        return Document(
            row.text, _without_surrogates(row.id), metadata=metadata | {"sha256": sha256(content).hexdigest()}
        )


def _without_surrogates(name: str) -> str:
    """A file's name may be of any bytes; Python decodes some to half surrogate pairs, which cannot be written as UTF-8."""
    return name.encode("utf-8", "replace").decode("utf-8")
