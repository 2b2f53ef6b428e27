"""A prompt for the transformers engine, and the queue through which its answers come back."""

import queue
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from langchain_core.outputs import GenerationChunk

from ...constrained.schemas import UnsupportedSchema
from ...errors import ModelFailed
from ...parameters import GenerationParameters
from .engine import Engine
from .guidance import compile_grammar


class TransformersRequest:
    """One prompt, answered in a worker's thread and read in any other.

    Args:
        prompt: token ids.
        max_tokens: most tokens of an answer.
        stream: return the answer in chunks while it is generated.
        likelihood: report the mean log probability of each answer's tokens.
        grammar: what `answer_grammar` returns.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: list[int],
        parameters: GenerationParameters,
        *,
        max_tokens: int,
        stream: bool,
        likelihood: bool,
        grammar: str | None,
    ) -> None:
        self.engine, self.prompt, self.parameters, self.max_tokens = engine, prompt, parameters, max_tokens
        self.likelihood, self._stream, self._grammar = likelihood, stream, grammar
        self._closed = threading.Event()
        self._results: queue.SimpleQueue[GenerationChunk | Exception | None] = queue.SimpleQueue()

    @property
    def rows(self) -> int:
        """Sequences that are generated side by side."""
        return max(self.parameters.num_beams or 1, self.parameters.num_return_sequences or 1)

    @cached_property
    def matcher(self) -> Any:
        """The matcher of the grammar, if there is one. Compiled by the worker, since that can take a second."""
        return None if self._grammar is None else compile_grammar(self.engine.guidance_tokenizer, self._grammar)

    # The worker's side

    @property
    def closed(self) -> bool:
        """Whether no more tokens are wanted."""
        return self._closed.is_set()

    def send(self, chunk: GenerationChunk) -> None:
        """Pass on what one more token adds, if the answer is streamed."""
        if self._stream and (chunk.text or chunk.generation_info):
            self._results.put(chunk)

    def finish(self, answers: Sequence[GenerationChunk]) -> None:
        """Pass on the whole answers, unless they were streamed."""
        for answer in () if self._stream else answers:
            self._results.put(answer)
        self._results.put(None)

    def fail(self, error: Exception) -> None:
        """Raise an error in the reading thread."""
        self._results.put(error)

    # The reader's side

    def results(self) -> Iterator[GenerationChunk]:
        """The chunks of a stream, or each whole answer. Raises ModelFailed, or UnsupportedSchema."""
        while (result := self._results.get()) is not None:
            if isinstance(result, UnsupportedSchema):
                raise result
            if isinstance(result, Exception):
                raise ModelFailed(self.engine.name, f"transformers failed: {result!r}.") from result
            yield result

    def close(self) -> None:
        """End the work at the next token, and the reading immediately."""
        self._closed.set()
        self._results.put(None)
