"""llama.cpp's server in this process (xllamacpp): one model's weights, and a few slots that answer side by side.

Whoever names the same file shares one engine.
"""

import ctypes
import json
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import MissingExtra, ModelFailed, ModelNotLoaded

KEPT_GRAMMARS = 256


class Engine:
    """llama.cpp's server with one model's weights, shared by all who name the same file."""

    def __init__(self, path: Path, *, context: int, slots: int) -> None:
        try:
            import xllamacpp
        except ModuleNotFoundError as error:
            raise MissingExtra(f"local:{path}", "local") from error
        except ImportError as error:
            what = f"llama.cpp cannot be loaded: {error}. A bare Debian lacks a library: apt-get install libgomp1."
            raise ModelNotLoaded(path.name, what) from error
        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx = context * slots
        settings.n_parallel = slots
        settings.fit_params = False
        settings.verbosity = -1
        # llama.cpp's own programs read this. On a machine that others keep busy one thread is faster than several by far:
        # they wait for one another at every step.
        if threads := os.environ.get("LLAMA_ARG_THREADS"):
            settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = int(threads)
        self.name = path.name
        self.grammars: deque[str] = deque(maxlen=KEPT_GRAMMARS)
        """Those that llama.cpp was seen to take."""
        try:
            with _signal_handlers_kept():
                self._server = xllamacpp.Server(settings)
                # xllamacpp 2026.10: a server that is let go before its loop has begun waits for that for ever. What needs a
                # slot is answered by the loop; tokens and templates are not.
                self._ask("/completion", {"prompt": "", "n_predict": 0})
        except RuntimeError as error:
            what = f"llama.cpp cannot load {str(path)!r}: broken, of an unknown kind, or too large for the memory."
            raise ModelNotLoaded(path.name, what) from error

    def run(self, request: Mapping[str, Any], listener: Any) -> None:
        """Answer one request; `listener` gets each piece as llama.cpp's dict, and ends the work by giving back True."""
        handle = self._server.handle_chat_completions if "messages" in request else self._server.handle_completions
        handle(dict(request), listener)

    def token_ids(self, text: str) -> list[int]:
        """The tokens of a text, as a prompt of that text has them."""
        asked = {"content": text, "add_special": True, "parse_special": True}
        tokens: list[int] = self._ask("/tokenize", asked)["tokens"]
        return tokens

    def laid_out(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text that the model's own chat template makes of messages."""
        return str(self._ask("/apply-template", {"messages": messages})["prompt"])

    def _ask(self, path: str, body: Any) -> Any:
        """llama.cpp answers small questions over its own loopback address only."""
        with closing(HTTPConnection(urlsplit(self._server.listening_address).netloc)) as connection:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.load(response)
        if response.status != 200:
            raise ModelFailed(self.name, f"llama.cpp failed: {answer.get('error', answer)}.")
        return answer


_engines: "weakref.WeakValueDictionary[tuple[Path, int, int], Engine]" = weakref.WeakValueDictionary()
_engines_lock = threading.Lock()


def engine(path: Path, *, context: int, slots: int) -> Engine:
    """The engine of that file, loaded if none is. Raises ValueError where the file is missing or not GGUF."""
    if not path.is_file():
        raise ValueError(f"path: there is no file {str(path)!r}")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"path: {str(path)!r} is not a GGUF file")
    key = (path.resolve(), context, slots)
    with _engines_lock:
        found = _engines.get(key)
        if found is None:
            found = _engines[key] = Engine(path, context=context, slots=slots)
        return found


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """xllamacpp 2026.10 takes SIGINT and SIGTERM for itself when it loads; this gives them back, from any thread."""
    if os.name == "nt":
        yield
        return
    import signal

    libc = ctypes.CDLL(None)
    # Room for any platform's `struct sigaction`, which is only carried back and forth.
    saved = {number: ctypes.create_string_buffer(512) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, action in saved.items():
        libc.sigaction(int(number), None, action)
    try:
        yield
    finally:
        for number, action in saved.items():
            libc.sigaction(int(number), action, None)
