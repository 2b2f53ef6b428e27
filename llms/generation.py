"""One generation: a request to a model and its answer, in chunks or whole, up to the first stop string.

An engine subclasses `RunningGeneration` and yields the raw chunks; `chunks()` and `answers()` are what its readers see.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from langchain_core.messages import BaseMessage
from langchain_core.outputs import GenerationChunk
from sagechain.prompts import replace_half_characters

from .errors import LLMError, StreamInterrupted
from .stop_strings import StopCutter

Prompt = str | Sequence[BaseMessage]


class RunningGeneration(ABC):
    """One request to a model and its answer; nothing is sent before it is read.

    Attributes:
        stop: strings at which the answer ends.
        prefix: text that goes before the answer: the prompt, where `return_full_text` is set.
    """

    stop: Sequence[str] = ()
    prefix: str = ""

    @abstractmethod
    def __iter__(self) -> Iterator[GenerationChunk]:
        """The model's output: the chunks of a stream as they arrive, or each answer of a whole reply. Raises LLMError."""

    @abstractmethod
    def close(self) -> None:
        """End the model's work. Any thread may close, at any time and more than once; a reader then stops."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def answers(self) -> list[GenerationChunk]:
        """Every answer of a whole reply, each up to its first stop string."""
        return [cut_answer(answer, self.stop, self.prefix) for answer in self]

    def chunks(self) -> Iterator[GenerationChunk]:
        """The chunks of a stream up to the first stop string, at least one.

        Raises:
            LLMError: a failure before the first chunk that has some of the answer.
            StreamInterrupted: any failure after it.
        """
        shown: list[GenerationChunk] = []
        with _interruption_after(shown):
            for chunk in ChunkCutter(self.stop, self.prefix).chunks(self):
                shown.append(chunk)
                yield chunk


def cut_answer(answer: GenerationChunk, stop: Sequence[str], prefix: str = "") -> GenerationChunk:
    """A whole answer up to its first stop string, after `prefix`."""
    cutter, info = StopCutter(stop), answer.generation_info
    text = cutter.feed(replace_half_characters(answer.text)) + cutter.flush()
    if cutter.stopped:
        info = {**(info or {}), "finish_reason": "stop"}
    return GenerationChunk(text=prefix + text, generation_info=info)


class ChunkCutter:
    """Passes the chunks of a stream on up to the first stop string, the first one after `prefix`."""

    def __init__(self, stop: Sequence[str], prefix: str = "") -> None:
        self._cutter, self._prefix = StopCutter(stop), prefix
        self._half_character = ""  # servers that escape each token by itself send a character's halves in two events
        self._is_empty = True
        self.has_received = False

    @property
    def stopped(self) -> bool:
        """Whether a stop string has arrived; no more chunks are needed."""
        return self._cutter.stopped

    def chunks(
        self, chunks: Iterable[GenerationChunk], last_info: Callable[[], dict[str, Any]] = dict
    ) -> Iterator[GenerationChunk]:
        """The chunks up to the first stop string, at least one; `last_info` returns the figures of a whole stream."""
        for chunk in chunks:
            yield from self.feed(chunk)
            if self.stopped:
                return
        yield from self.flush(last_info())

    def feed(self, chunk: GenerationChunk) -> Iterator[GenerationChunk]:
        """What may be shown of a chunk."""
        self.has_received = True
        text, info = self._cutter.feed(self._whole_characters(chunk.text)), chunk.generation_info
        if self.stopped:
            info = {**(info or {}), "finish_reason": "stop"}
        elif info and "finish_reason" in info:  # some servers report the usage so far with every chunk
            text += self._cutter.flush()
        if text or info:
            yield GenerationChunk(text=self._prefix + text, generation_info=info)
            self._prefix, self._is_empty = "", False

    def flush(self, info: dict[str, Any]) -> Iterator[GenerationChunk]:
        """What was buffered, when the stream is over, with its last figures."""
        last_character = self._cutter.feed(replace_half_characters(self._half_character))
        rest = self._prefix + last_character + self._cutter.flush()
        if rest or info or self._is_empty:
            yield GenerationChunk(text=rest, generation_info=info or None)

    def _whole_characters(self, text: str) -> str:
        text, self._half_character = self._half_character + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half_character = text[:-1], text[-1]
        return replace_half_characters(text)


TEXTS_BESIDE = ("reasoning_content", "refusal")
"""In a chunk's `generation_info`: text that the server sends apart from the answer's, in pieces like that."""


def has_answer(chunk: GenerationChunk) -> bool:
    """Whether a chunk has some of the answer: text, reasoning, or part of a tool call."""
    info = chunk.generation_info or {}
    return bool(chunk.text) or any(info.get(name) for name in ("tool_calls", *TEXTS_BESIDE))


def join_chunks(chunks: Iterator[GenerationChunk]) -> Iterator[GenerationChunk]:
    """The chunks of a stream as one; it fails as `RunningGeneration.chunks` does."""
    shown: list[GenerationChunk] = []
    with _interruption_after(shown):
        for chunk in chunks:
            shown.append(chunk)
    # Each chunk replaces the figures of the one before; LangChain's own sum of chunks would add them up.
    infos = [chunk.generation_info or {} for chunk in shown]
    joined = {name: value for info in infos for name, value in info.items()}
    for name in TEXTS_BESIDE:
        if name in joined:
            joined[name] = "".join(info.get(name, "") for info in infos)
    if "tool_calls" in joined:
        joined["tool_calls"] = join_tool_calls(delta for info in infos for delta in info.get("tool_calls", ()))
    yield GenerationChunk(text="".join(chunk.text for chunk in shown), generation_info=joined or None)


def join_tool_calls(deltas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each tool call once, out of its parts."""
    calls, arguments = dict[int, dict[str, Any]](), dict[int, list[str]]()
    for delta in deltas:
        call = calls.setdefault(delta["index"], {"index": delta["index"], "id": None, "name": None})
        call["id"], call["name"] = call["id"] or delta["id"], f"{call['name'] or ''}{delta['name'] or ''}" or None
        arguments.setdefault(delta["index"], []).append(delta["arguments"])
    return [{**call, "arguments": "".join(arguments[index])} for index, call in calls.items()]


@contextmanager
def _interruption_after(shown: Sequence[GenerationChunk]) -> Iterator[None]:
    """Turn a failure into StreamInterrupted if any chunk in `shown`, as it is by then, has some of the answer."""
    try:
        yield
    except LLMError as error:
        if not any(map(has_answer, shown)):
            raise
        text = "".join(chunk.text for chunk in shown)
        raise StreamInterrupted(error.endpoint, f"the stream broke off: {error.message}", text) from error
