"""GGUF models on this machine, in llama.cpp (xllamacpp: no torch, no compiler).

One engine holds the weights and a few slots; calls that run together share them by continuous batching. Every model
object over the same file shares one engine.
"""

import atexit
import ctypes
import json
import os
import queue
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from langchain_core.outputs import GenerationChunk
from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from sagechain.llms.calls import ModelCall, Prompt
from sagechain.llms.dialog import dialog
from sagechain.llms.errors import MissingExtra, ModelFailed, ModelNotLoaded
from sagechain.llms.parameters import OFF, GenerationParameters
from sagechain.llms.text_model import TextModel, too_long
from sagechain.prompts import get_family
from sagechain.prompts.names import unknown

CARRIES = {
    "max_new_tokens": "max_tokens",
    "repetition_penalty": "repeat_penalty",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
}
# llama.cpp's own defaults (top_k 40, top_p 0.95, min_p 0.05) are another meaning of
# "temperature 1" than everywhere else, so each is switched off unless it is asked for.
NEUTRAL = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


class LlamaCppLLM(TextModel):
    """A GGUF file as a LangChain LLM, run in this process. `timeout` and `max_retries` mean nothing here.

    Raises:
        ValueError: no such file, not GGUF, or a parameter that is unknown, out of range or not carried.
        MissingExtra: the `local` extra is not installed.
    """

    model_config = ConfigDict(extra="forbid")

    path: Path
    """The GGUF file."""
    context: int = Field(default=2048, ge=64)
    """Tokens of prompt and answer together, for each call."""
    slots: int = Field(default=4, ge=1)
    """Calls that are answered at the same time."""

    _engine: "Engine" = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in values:
            if name not in cls.model_fields:
                raise unknown("parameter", name, cls.model_fields)
        return values

    @model_validator(mode="after")
    def _load(self) -> Self:
        if self.family is not None:
            get_family(self.family)
        _sent(self._parameters(None, {}).updated({"max_length": None}))
        self._engine = engine(self.path, context=self.context, slots=self.slots)
        return self

    @property
    def takes_roles(self) -> bool:
        """Messages go through the model's own chat template, unless a family is given."""
        return self.family is None

    @property
    def name_of_model(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def _llm_type(self) -> str:
        return "sagechain-llama-cpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "path": str(self.path.resolve()), "context": self.context}

    @property
    def context_size(self) -> int:
        """The context of one slot."""
        return self.context

    def get_token_ids(self, text: str) -> list[int]:
        """The ids of the model's own tokens in a text; special tags in it are read as such."""
        return self._engine.token_ids(text)

    def text_tokens(self, text: str) -> int:
        """How many tokens a text has, without those that begin a prompt."""
        return len(self.get_token_ids(text)) - len(self.get_token_ids(""))

    def prompt_tokens(self, prompt: Prompt) -> int:
        """How many tokens a prompt has; messages are laid out by the model's own template first."""
        text = prompt if isinstance(prompt, str) else self._engine.laid_out(dialog(prompt))
        return len(self.get_token_ids(text))

    def _start(self, prompt: Prompt, parameters: GenerationParameters, *, stream: bool) -> ModelCall:
        request = {
            **_sent(parameters),
            "repeat_last_n": self.context,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if isinstance(prompt, str):
            return LlamaCppCall(self._engine, {**request, "prompt": prompt}, whole=not stream)
        return LlamaCppCall(self._engine, {**request, "messages": dialog(prompt)}, whole=not stream)


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
        self.name = path.name
        try:
            with _signal_handlers_kept():
                self._server = xllamacpp.Server(settings)
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


class LlamaCppCall(ModelCall):
    """One generation; llama.cpp calls back from a thread of its own.

    Args:
        whole: give the answer as one piece.
    """

    def __init__(self, engine: Engine, request: Mapping[str, Any], *, whole: bool) -> None:
        self._engine, self._request, self._is_whole = engine, request, whole
        self._closed = threading.Event()
        self._arrived: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[GenerationChunk]:
        self._thread = threading.Thread(target=self._run, daemon=True, name="sagechain-llama-cpp")
        _running.add(self)
        self._thread.start()
        return self._joined() if self._is_whole else self._pieces()

    def close(self) -> None:
        """llama.cpp ends the work at its next token; a reader stops at once."""
        self._closed.set()
        self._arrived.put(None)

    def _run(self) -> None:
        try:
            self._engine.run(self._request, self._listen)
        except Exception as error:  # noqa: BLE001  # raised again where the answer is read
            self._arrived.put(error)
        finally:
            _running.discard(self)
            self._arrived.put(None)

    def end(self) -> None:
        """Close, and wait until llama.cpp has let go."""
        self.close()
        self._thread.join()

    def _listen(self, piece: Any) -> bool:
        self._arrived.put(piece)
        return self._closed.is_set()

    def _pieces(self) -> Iterator[GenerationChunk]:
        while (piece := self._arrived.get()) is not None:
            if isinstance(piece, Exception):
                raise ModelFailed(self._engine.name, f"llama.cpp failed: {piece}.") from piece
            for event in piece if isinstance(piece, list) else [piece]:
                if "error" in event:
                    raise self._refusal(event["error"])
                chunk = _chunk(event)
                if chunk is not None:
                    yield chunk

    def _joined(self) -> Iterator[GenerationChunk]:
        text, info = "", dict[str, Any]()
        for piece in self._pieces():
            text, info = text + piece.text, info | (piece.generation_info or {})
        yield GenerationChunk(text=text, generation_info=info)

    def _refusal(self, error: Mapping[str, Any]) -> Exception:
        if error.get("type") == "exceed_context_size_error":
            asked, room = error["n_prompt_tokens"], error["n_ctx"]
            return too_long(asked, room, "shorten it, or load the model with ?context=…")
        if 400 <= int(error.get("code", 500)) < 500:
            return ValueError(f"llama.cpp refuses the request: {error.get('message')}")
        return ModelFailed(self._engine.name, f"llama.cpp failed: {error.get('message')}.")


_running: set[LlamaCppCall] = set()


@atexit.register
def _end_running_calls() -> None:
    """A thread that is still inside llama.cpp when Python ends would abort the whole process."""
    for call in tuple(_running):
        call.end()


def _sent(parameters: GenerationParameters) -> dict[str, Any]:
    """The parameters under llama.cpp's names."""
    sent: dict[str, Any] = {}
    for name, value in parameters.given().items():
        if name in CARRIES:
            sent[CARRIES[name]] = list(value) if name == "stop" else value
        elif name != "do_sample" and not (name in OFF and value == OFF[name]):
            known = sorted({*CARRIES, "do_sample", "max_length"})
            raise ValueError(f"{name}: llama.cpp does not carry it; it carries {', '.join(known)}")
    sent = {**NEUTRAL, **sent}
    return sent if parameters.samples else {**sent, "temperature": 0.0}


def _chunk(event: Mapping[str, Any]) -> GenerationChunk | None:
    """The text and the figures in one event; None where it has neither."""
    info: dict[str, Any] = {}
    text = ""
    for choice in event.get("choices", ()):
        text += choice["text"] if "text" in choice else choice["delta"].get("content") or ""
        if choice.get("finish_reason"):
            info["finish_reason"] = choice["finish_reason"]
    if usage := event.get("usage"):
        info |= {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    return GenerationChunk(text=text, generation_info=info or None) if text or info else None


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
