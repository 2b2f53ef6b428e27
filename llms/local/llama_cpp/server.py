"""llama.cpp's server inside this process (xllamacpp): its settings, its door, and its life.

What llama.cpp offers only over HTTP (tokens, templates) is requested over a Unix socket in a folder of this user alone, so
nothing listens on a port that a web page or another user could reach. Where there are no Unix sockets it is a loopback port
that demands a random key, and has no page of its own.
"""

import ctypes
import json
import os
import secrets
import shutil
import socket
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import MissingExtra, ModelFailed, ModelNotLoaded
from ...forks import never_delete
from .signals import signals_while_loading

SOCKET = "llama.sock"  # llama.cpp takes a host name with this ending for a Unix socket
LONGEST_FOLDER = 90  # bytes: a socket's address has room for 103 on macOS, 107 on Linux


class Server:
    """One model's weights, and slots that generate side by side.

    Raises:
        MissingExtra: the `local` extra is not installed.
        ModelNotLoaded: llama.cpp cannot load the file.
    """

    def __init__(self, path: Path, *, context: int, slots: int) -> None:
        self._name, self._key = path.name, secrets.token_urlsafe(32)
        settings = _settings(path, context=context, slots=slots)
        settings.api_keys, settings.ui, settings.endpoint_slots, settings.cors_origins = [self._key], False, False, ""
        folder = _socket_folder()
        self._socket = None if folder is None else str(folder / SOCKET)
        if folder is not None:
            settings.hostnames = [self._socket]
            # Also at exit, but not in a forked child: the folder is its parent's.
            weakref.finalize(self, _remove, folder, os.getpid())
        import xllamacpp

        try:
            with signals_while_loading(path):
                self._server = xllamacpp.Server(settings)
                # xllamacpp 2026.10: a server that is deleted before its loop has started waits for the start forever. A
                # completion is answered by the loop; tokens and templates are not.
                self.post("/completion", {"prompt": "", "n_predict": 0})
        except RuntimeError as error:
            what = f"llama.cpp cannot load {str(path)!r}: broken, of an unknown kind, or too large for the memory."
            raise ModelNotLoaded(path.name, what) from error

    def run(self, request: Mapping[str, Any], listener: Any) -> None:
        """Answer one request; `listener` gets llama.cpp's events, each a dict, and ends the work by returning True."""
        handle = self._server.handle_chat_completions if "messages" in request else self._server.handle_completions
        handle(dict(request), listener)

    def post(self, path: str, body: Any) -> Any:
        """llama.cpp's answer to an HTTP request. Raises ModelFailed."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        try:
            with closing(self._connection()) as connection:
                connection.request("POST", path, json.dumps(body), headers)
                response = connection.getresponse()
                answer = json.load(response)
        except (OSError, HTTPException) as error:
            raise ModelFailed(self._name, f"llama.cpp's server does not answer: {error}.") from error
        if response.status != 200:
            raise ModelFailed(self._name, f"llama.cpp failed: {answer.get('error', answer)}.")
        return answer

    def _connection(self) -> HTTPConnection:
        if self._socket is None:
            return HTTPConnection(urlsplit(self._server.listening_address).netloc)
        return _UnixConnection(self._socket)

    def never_delete(self) -> None:
        """Leave the server in memory for ever."""
        never_delete(self._server)


def end_without_destructors() -> None:
    """In a forked child: end the process, with its exit code, once Python has ended, before C++ destroys what is global.

    xllamacpp 2026.10: one thread belongs to the library, and not to a server. Every server's destructor waits for it, and
    the library's own does. In a forked child it does not exist, so neither a server nor the library may be destroyed.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc
        libc.on_exit(libc._exit, None)


class _UnixConnection(HTTPConnection):
    """A connection to a Unix socket; one for each request, since llama.cpp reserves a thread for every open one."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _settings(path: Path, *, context: int, slots: int) -> Any:
    """llama.cpp's settings for a model."""
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
    return settings


def _socket_folder() -> Path | None:
    """A new folder of this user alone, for a socket; None where there are no Unix sockets, or all paths are too long."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    for parent in (tempfile.gettempdir(), "/tmp"):
        if len(os.fsencode(parent)) <= LONGEST_FOLDER - len("/sagechain-12345678"):
            return Path(tempfile.mkdtemp(prefix="sagechain-", dir=parent))
    return None


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
