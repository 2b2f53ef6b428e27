"""A GGUF file in memory: llama.cpp's server over it, which all models with the same file and settings share."""

import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from sagechain.prompts import replace_half_characters

from ...errors import ModelNotLoaded
from ...forks import RenewedLock, renew_in_child
from ..gguf_header import check_gguf, gguf_files
from ..weights import FileVersion
from .server import Server, end_without_destructors

MAX_ACCEPTED_GRAMMARS = 256


class Engine:
    """llama.cpp with one model's weights. A forked child loads them again when it first uses them.

    Args:
        path: a GGUF file; of one in several parts, the first.
        version: of the file, when it was last looked at.
        context: tokens of prompt and answer together, for each slot.
        slots: generations that run at the same time.
    """

    def __init__(self, path: Path, version: FileVersion, *, context: int, slots: int) -> None:
        self.name, self.version = path.name, version
        self._path, self._context, self._slots = path, context, slots
        self.accepted_grammars: deque[str] = deque(maxlen=MAX_ACCEPTED_GRAMMARS)
        self._lock = RenewedLock()
        self._loaded: Server | None = None
        self._forked = False
        renew_in_child(self, Engine._load_again)
        self._server()

    def _server(self) -> Server:
        with self._lock:
            if self._loaded is None:
                server = Server(self._path, context=self._context, slots=self._slots)
                if _file_version(self._path) != self.version:
                    raise ModelNotLoaded(self.name, f"{str(self._path)!r} has changed since the model was created.")
                if self._forked:
                    server.never_delete()
                self._loaded = server
            return self._loaded

    def _load_again(self) -> None:
        """In a forked child: the parent's server has no threads here."""
        if not self._forked:
            self._forked = True
            end_without_destructors()
        if self._loaded is not None:
            self._loaded.never_delete()
            self._loaded = None

    def run(self, request: Mapping[str, Any], listener: Any) -> None:
        """Answer one request; `listener` gets llama.cpp's events, each a dict, and ends the work by returning True."""
        self._server().run(request, listener)

    def token_ids(self, text: str) -> list[int]:
        """The tokens of a prompt with this text; half a surrogate pair counts as the replacement character."""
        body = {"content": replace_half_characters(text), "add_special": True, "parse_special": True}
        tokens: list[int] = self._server().post("/tokenize", body)["tokens"]
        return tokens

    def apply_template(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text that the model's own chat template makes of messages."""
        return str(self._server().post("/apply-template", {"messages": messages})["prompt"])

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles carry the path, never the weights."""
        return partial(shared_engine, context=self._context, slots=self._slots), (self._path,)


_engines: "weakref.WeakValueDictionary[tuple[object, ...], Engine]" = weakref.WeakValueDictionary()
_engines_lock = RenewedLock()


def shared_engine(path: Path, *, context: int, slots: int) -> Engine:
    """The engine of a file, loaded if it is not in memory or the file has changed.

    Raises:
        ValueError: the file is missing or not GGUF.
        ModelNotLoaded, MissingExtra: as `Server`.
    """
    if not path.is_file():
        raise ValueError(f"path: the file {str(path)!r} does not exist")
    check_gguf(path)
    with _engines_lock:
        version = _file_version(path)
        key = (path.resolve(), version.key, context, slots)
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = Engine(path.absolute(), version, context=context, slots=slots)
        return engine


def _file_version(path: Path) -> FileVersion:
    """The version of a GGUF file, all of its parts included."""
    return FileVersion.of(path.parent, gguf_files(path))
