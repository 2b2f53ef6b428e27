"""llama.cpp's server in this process (xllamacpp): one model's weights, and a few slots that generate side by side."""

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
from ..gguf_header import check_gguf

MAX_ACCEPTED_GRAMMARS = 256


class Engine:
    """llama.cpp's server with one model's weights; models over one file share it."""

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
        # llama.cpp's own programs read this. On a busy machine one thread is by far faster than several, which wait for one
        # another at every step.
        if threads := os.environ.get("LLAMA_ARG_THREADS"):
            settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = int(threads)
        self.name = path.name
        self.accepted_grammars: deque[str] = deque(maxlen=MAX_ACCEPTED_GRAMMARS)
        try:
            with _python_signal_handlers():
                self._server = xllamacpp.Server(settings)
                # xllamacpp 2026.10: a server that is deleted before its loop has started waits for the start forever. A
                # completion is answered by the loop; tokens and templates are not.
                self._post("/completion", {"prompt": "", "n_predict": 0})
        except RuntimeError as error:
            what = f"llama.cpp cannot load {str(path)!r}: broken, of an unknown kind, or too large for the memory."
            raise ModelNotLoaded(path.name, what) from error

    def run(self, request: Mapping[str, Any], listener: Any) -> None:
        """Answer one request; `listener` gets llama.cpp's events, each a dict, and ends the work by returning True."""
        handle = self._server.handle_chat_completions if "messages" in request else self._server.handle_completions
        handle(dict(request), listener)

    def token_ids(self, text: str) -> list[int]:
        """The tokens of a prompt with this text."""
        body = {"content": text, "add_special": True, "parse_special": True}
        tokens: list[int] = self._post("/tokenize", body)["tokens"]
        return tokens

    def apply_template(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text that the model's own chat template makes of messages."""
        return str(self._post("/apply-template", {"messages": messages})["prompt"])

    def _post(self, path: str, body: Any) -> Any:
        """llama.cpp's answer over its loopback address: tokens and templates have no other interface."""
        with closing(HTTPConnection(urlsplit(self._server.listening_address).netloc)) as connection:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.load(response)
        if response.status != 200:
            raise ModelFailed(self.name, f"llama.cpp failed: {answer.get('error', answer)}.")
        return answer


_engines: "weakref.WeakValueDictionary[tuple[Path, int, int], Engine]" = weakref.WeakValueDictionary()
_engines_lock = threading.Lock()


def shared_engine(path: Path, *, context: int, slots: int) -> Engine:
    """The engine of a file, loaded if it is not in memory. Raises ValueError if the file is missing or not GGUF."""
    if not path.is_file():
        raise ValueError(f"path: the file {str(path)!r} does not exist")
    check_gguf(path)
    key = (path.resolve(), context, slots)
    with _engines_lock:
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = Engine(path, context=context, slots=slots)
        return engine


@contextmanager
def _python_signal_handlers() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM, which xllamacpp 2026.10 replaces when it loads; works in any thread."""
    if os.name == "nt":
        yield
        return
    import signal

    libc = ctypes.CDLL(None)
    # Large enough for any platform's `struct sigaction`.
    saved = {number: ctypes.create_string_buffer(512) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, action in saved.items():
        libc.sigaction(int(number), None, action)
    try:
        yield
    finally:
        for number, action in saved.items():
            libc.sigaction(int(number), action, None)
