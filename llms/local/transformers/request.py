"""A prompt for the transformers engine, and what the worker that answers it does with it."""

from collections.abc import Sequence
from typing import Any

from langchain_core.outputs import GenerationChunk

from ...parameters import GenerationParameters
from ..generation import LocalGeneration
from .engine import Engine
from .guidance import compile_grammar


class TransformersRequest(LocalGeneration):
    """One prompt, answered in a worker's thread and read in any other.

    Args:
        prompt: token ids.
        max_tokens: most tokens of an answer.
        max_rows: most sequences generated side by side.
        timeout, stream: as for every generation on this machine.
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
        max_rows: int,
        timeout: float,
        stream: bool,
        likelihood: bool,
        grammar: str | None,
    ) -> None:
        super().__init__(engine.name, "transformers", timeout=timeout, stream=stream)
        self.engine, self.prompt, self.parameters, self.max_tokens = engine, prompt, parameters, max_tokens
        self.max_rows, self.likelihood, self._grammar = max_rows, likelihood, grammar
        self.matcher: Any = None

    @property
    def rows(self) -> int:
        """Sequences of this request."""
        return max(self.parameters.num_beams or 1, self.parameters.num_return_sequences or 1)

    def compile_grammar(self) -> None:
        """Make `matcher`, if there is a grammar. The worker does, since it can take a second."""
        if self._grammar is not None and self.matcher is None:
            self.matcher = compile_grammar(self.engine.guidance_tokenizer, self._grammar)

    def send_chunk(self, chunk: GenerationChunk) -> None:
        """Pass on what one more token adds, if the answer is streamed."""
        if self._stream and (chunk.text or chunk.generation_info):
            self.send(chunk)

    def finish(self, answers: Sequence[GenerationChunk]) -> None:
        """Pass on the whole answers, unless they were streamed."""
        for answer in () if self._stream else answers:
            self.send(answer)
        self.end()
