"""A call on its way to a model, and its answer up to the first stop string."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from langchain_core.messages import BaseMessage
from langchain_core.outputs import GenerationChunk
from sagechain.llms.errors import LLMError, StreamInterrupted
from sagechain.llms.parameters import GenerationParameters
from sagechain.llms.stops import StopCutter

Prompt = str | Sequence[BaseMessage]


class ModelCall(ABC):
    """One call on its way: iterate over it for the answer's pieces, or for the answers of a whole reply."""

    @abstractmethod
    def __iter__(self) -> Iterator[GenerationChunk]:
        """The pieces as they arrive. Raises LLMError."""

    @abstractmethod
    def close(self) -> None:
        """End the model's work for this call. Any thread may close, at any time, also twice; a reader then stops."""


def cut(call: ModelCall, parameters: GenerationParameters, prefix: str = "") -> Iterator[GenerationChunk]:
    """The pieces of a call up to the first stop string, at least one; `prefix` goes before the first."""
    cutter = StopCutter(parameters.stop or ())
    shown: list[str] = []
    try:
        for chunk in call:
            text, info = cutter.feed(chunk.text), chunk.generation_info
            if cutter.stopped:
                info = {**(info or {}), "finish_reason": "stop"}
            elif info and "finish_reason" in info:  # some servers tell the usage so far with each piece
                text += cutter.flush()
            if text or info:
                yield GenerationChunk(text=prefix + text, generation_info=info)
                shown.append(prefix + text)
                prefix = ""
            if cutter.stopped:
                return
        rest = prefix + cutter.flush()
        if rest or not shown:
            yield GenerationChunk(text=rest)
    except LLMError as error:
        if not any(shown):
            raise
        raise StreamInterrupted(error.endpoint, f"the stream broke off: {error.what}", "".join(shown)) from error


def joined(pieces: Iterator[GenerationChunk]) -> Iterator[GenerationChunk]:
    """The pieces of a stream as one. A failure after the first of them is a StreamInterrupted, as in a stream."""
    answer = GenerationChunk(text="")
    try:
        for piece in pieces:
            answer += piece
    except LLMError as error:
        if not answer.text:
            raise
        raise StreamInterrupted(error.endpoint, f"the stream broke off: {error.what}", answer.text) from error
    yield answer


def whole(call: ModelCall, parameters: GenerationParameters, prefix: str = "") -> list[GenerationChunk]:
    """Every answer of a whole reply, each up to its first stop string and with `prefix` before it."""
    answers = []
    for answer in call:
        cutter = StopCutter(parameters.stop or ())
        text = cutter.feed(answer.text) + cutter.flush()
        info = {**(answer.generation_info or {}), "finish_reason": "stop"} if cutter.stopped else answer.generation_info
        answers.append(GenerationChunk(text=prefix + text, generation_info=info))
    return answers
