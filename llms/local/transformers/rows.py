"""The rows of a batch: the text of each answer while it is generated, and the criteria that end it."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
import transformers
from langchain_core.outputs import GenerationChunk

from ...stop_strings import StopCutter
from .engine import Engine
from .logits import ModelScores
from .request import TransformersRequest
from .token_text import UNFINISHED, TokenText


class Row:
    """One answer: its tokens and text so far, and why it ended.

    Args:
        ends: ids of the tokens that end it.
    """

    def __init__(self, request: TransformersRequest, ends: Sequence[int]) -> None:
        self.request, self._ends = request, ends
        self.tokens: list[int] = []
        self.text, self._finish_reason = "", ""
        self._log_probabilities: list[float] = []
        self._decoder = TokenText(request.engine.decode, request.prompt)
        self._stop_strings = StopCutter(request.parameters.stop or ())

    @property
    def done(self) -> bool:
        """Whether it has ended, or its reader has left."""
        return bool(self._finish_reason) or self.request.closed

    @property
    def remaining(self) -> int:
        """Tokens that it may still get."""
        return self.request.max_tokens - len(self.tokens)

    def add(self, token: int, log_probability: float | None = None) -> GenerationChunk:
        """The chunk for one more token; a character that is still incomplete comes with a later one, or with the last."""
        if self.done:
            return self._chunk("")
        self.tokens.append(token)
        if log_probability is not None:
            self._log_probabilities.append(log_probability)
        text = "" if token in self._ends else self._decoder.feed(token)
        self._stop_strings.feed(text)
        if token in self._ends or self._stop_strings.stopped:
            self._finish_reason = "stop"
        elif not self.remaining:
            self._finish_reason = "length"
        if self._finish_reason:
            text += self._decoder.flush()
        self.text += text
        return self._chunk(text)

    def answer(self) -> GenerationChunk:
        """All of it in one chunk."""
        return self._chunk(self.text)

    def _chunk(self, text: str) -> GenerationChunk:
        if not self._finish_reason:
            return GenerationChunk(text=text)
        info: dict[str, Any] = {
            "finish_reason": self._finish_reason,
            "input_tokens": len(self.request.prompt),
            "output_tokens": len(self.tokens),
        }
        if self._log_probabilities:
            info["likelihood"] = fmean(self._log_probabilities)
        return GenerationChunk(text=text, generation_info=info)


class RowsDone(transformers.StoppingCriteria):
    """Adds each step's tokens to their rows, streams what they add, and ends the rows that are done."""

    def __init__(self, rows: Sequence[Row], model_scores: ModelScores | None) -> None:
        self._rows, self._model_scores = rows, model_scores

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Which rows are done, of shape (rows,)."""
        tokens = input_ids[:, -1]
        model_scores = self._model_scores
        log_probabilities = model_scores.log_probabilities(tokens) if model_scores else [None] * len(self._rows)
        for row, token, log_probability in zip(self._rows, tokens.tolist(), log_probabilities, strict=True):
            if not row.done:
                row.request.send_chunk(row.add(token, log_probability))
        return torch.tensor([row.done for row in self._rows], device=input_ids.device)


class BeamsDone(transformers.StoppingCriteria):
    """Ends beams at a limit or a stop string; beams change from step to step, so each is decoded again."""

    def __init__(self, engine: Engine, requests: Sequence[TransformersRequest], width: int) -> None:
        self._engine, self._requests, self._width = engine, requests, width

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Which beams are done, of shape (beams,)."""
        beams = len(input_ids) // len(self._requests)
        answers = input_ids[:, self._width :].tolist()
        done = [self._is_done(self._requests[row // beams], tokens) for row, tokens in enumerate(answers)]
        return torch.tensor(done, device=input_ids.device)

    def _is_done(self, request: TransformersRequest, tokens: list[int]) -> bool:
        if request.closed or len(tokens) >= request.max_tokens:
            return True
        if not request.parameters.stop:
            return False
        text = self._engine.decode(tokens).rstrip(UNFINISHED)
        return any(stop in text for stop in request.parameters.stop)
