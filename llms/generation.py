"""A call on its way to a model, and its answer up to the first stop string."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.outputs import GenerationChunk

from .errors import LLMError, StreamInterrupted
from .parameters import GenerationParameters
from .stop_strings import StopCutter

Prompt = str | Sequence[BaseMessage]


class ModelCall(ABC):
    """One call on its way: iterate over it for the answer's pieces, or for the answers of a whole reply."""

    @abstractmethod
    def __iter__(self) -> Iterator[GenerationChunk]:
        """The pieces as they arrive. Raises LLMError."""

    @abstractmethod
    def close(self) -> None:
        """End the model's work for this call. Any thread may close, at any time, also twice; a reader then stops."""


def has_answer(piece: GenerationChunk) -> bool:
    """Whether a piece holds some of the answer: text, or some of a tool call."""
    return bool(piece.text or (piece.generation_info or {}).get("tool_calls"))


def cut(call: ModelCall, parameters: GenerationParameters, prefix: str = "") -> Iterator[GenerationChunk]:
    """The pieces of a call up to the first stop string, at least one; `prefix` goes before the first."""
    cutter = StopCutter(parameters.stop or ())
    shown: list[GenerationChunk] = []
    try:
        for chunk in call:
            text, info = cutter.feed(chunk.text), chunk.generation_info
            if cutter.stopped:
                info = {**(info or {}), "finish_reason": "stop"}
            elif info and "finish_reason" in info:  # some servers tell the usage so far with each piece
                text += cutter.flush()
            if text or info:
                shown.append(GenerationChunk(text=prefix + text, generation_info=info))
                yield shown[-1]
                prefix = ""
            if cutter.stopped:
                return
        rest = prefix + cutter.flush()
        if rest or not shown:
            yield GenerationChunk(text=rest)
    except LLMError as error:
        if not any(map(has_answer, shown)):
            raise
        raise _broken_off(error, shown) from error


def joined(pieces: Iterator[GenerationChunk]) -> Iterator[GenerationChunk]:
    """The pieces of a stream as one. A failure after the first of them is a StreamInterrupted, as in a stream."""
    shown: list[GenerationChunk] = []
    try:
        for piece in pieces:
            shown.append(piece)
    except LLMError as error:
        if not any(map(has_answer, shown)):
            raise
        raise _broken_off(error, shown) from error
    # Figures are told anew with each piece; LangChain's own sum of pieces would add them up.
    infos = [piece.generation_info or {} for piece in shown]
    info = {name: value for told in infos for name, value in told.items()}
    if "tool_calls" in info:
        info["tool_calls"] = whole_calls(delta for told in infos for delta in told.get("tool_calls", ()))
    yield GenerationChunk(text="".join(piece.text for piece in shown), generation_info=info or None)


def whole_calls(deltas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each tool call once, out of its pieces."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        call = calls.setdefault(delta["index"], {"index": delta["index"], "id": None, "name": None, "arguments": ""})
        call["id"], call["name"] = call["id"] or delta["id"], call["name"] or delta["name"]
        call["arguments"] += delta["arguments"]
    return list(calls.values())


def whole(call: ModelCall, parameters: GenerationParameters, prefix: str = "") -> list[GenerationChunk]:
    """Every answer of a whole reply, each up to its first stop string and with `prefix` before it."""
    answers = []
    for answer in call:
        cutter = StopCutter(parameters.stop or ())
        text = cutter.feed(answer.text) + cutter.flush()
        info = {**(answer.generation_info or {}), "finish_reason": "stop"} if cutter.stopped else answer.generation_info
        answers.append(GenerationChunk(text=prefix + text, generation_info=info))
    return answers


def _broken_off(error: LLMError, shown: Sequence[GenerationChunk]) -> StreamInterrupted:
    text = "".join(piece.text for piece in shown)
    return StreamInterrupted(error.endpoint, f"the stream broke off: {error.message}", text)
