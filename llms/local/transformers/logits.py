"""What changes the scores of the next token: transformers' own processors, each row without its padding; and chance.

transformers' processors see the padding before a shorter prompt as if it had been said, so a penalty or a length would
mean something else in a batch. Its draw takes one random number generator for all rows, and for all of the process.
"""

from collections.abc import Sequence
from typing import Any

import torch
import transformers

from ...parameters import GenerationParameters


def processors(
    parameters: GenerationParameters, pads: Sequence[int], ends: Sequence[int], *, keep: int, held: Sequence[Any] = ()
) -> list[Any]:
    """The processors that are asked for, in transformers' own order.

    Args:
        pads: tokens of padding before each row.
        ends: ids that end an answer.
        keep: candidates that are left at least to a draw.
        held: what holds the rows to grammars; it leaves the cuts only what fits.
    """
    made: list[transformers.LogitsProcessor] = []
    if parameters.repetition_penalty not in (None, 1):
        made.append(transformers.RepetitionPenaltyLogitsProcessor(float(parameters.repetition_penalty or 1)))
    if parameters.no_repeat_ngram_size:
        made.append(transformers.NoRepeatNGramLogitsProcessor(parameters.no_repeat_ngram_size))
    if parameters.min_length and ends:
        made.append(transformers.MinLengthLogitsProcessor(parameters.min_length, list(ends)))
    warpers = _warpers(parameters, keep) if parameters.samples else []
    return [*(WithoutPadding(processor, pads) for processor in made), *held, *warpers]


def _warpers(parameters: GenerationParameters, keep: int) -> list[Any]:
    made: list[Any] = []
    if parameters.temperature not in (None, 1):
        made.append(transformers.TemperatureLogitsWarper(float(parameters.temperature or 1)))
    if parameters.top_k:
        made.append(transformers.TopKLogitsWarper(parameters.top_k, min_tokens_to_keep=keep))
    if parameters.top_p not in (None, 1):
        made.append(transformers.TopPLogitsWarper(float(parameters.top_p or 1), min_tokens_to_keep=keep))
    return made


class WithoutPadding(transformers.LogitsProcessor):
    """A processor that sees each row without the padding before it.

    Args:
        pads: tokens of padding before each row.
    """

    def __init__(self, processor: transformers.LogitsProcessor, pads: Sequence[int]) -> None:
        self.processor, self.pads = processor, pads

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """New scores, of shape (rows, vocabulary) as they came."""
        if not any(self.pads):
            parts = [self.processor(input_ids, scores)]
        else:
            parts = [self.processor(input_ids[i : i + 1, pad:], scores[i : i + 1]) for i, pad in enumerate(self.pads)]
        return torch.cat(parts)


class Draw(transformers.LogitsProcessor):
    """Makes the highest score a draw: the arg max of log p − log e, e exponential, is a token with probability p.

    Each row draws from a generator of its own, so an answer does not depend on its neighbours in a batch, and no other
    thread's random numbers are touched.

    Args:
        generators: for each row.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = generators

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores whose arg max is the token drawn."""
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.log()


class Likelihoods(transformers.LogitsProcessor):
    """Keeps the model's own scores of a step, before anything changes them: how likely is what will then be taken?"""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores as they came."""
        self._scores = scores
        return scores

    def of(self, tokens: torch.Tensor) -> list[float]:
        """The log probability (nats) of the token that each row took."""
        taken = self._scores.gather(1, tokens[:, None])[:, 0]
        found: list[float] = (taken - self._scores.logsumexp(-1)).tolist()
        return found


def generators_of(seeds: Sequence[int | None], device: torch.device) -> list[torch.Generator]:
    """A generator for each seed; None seeds it from the system's own randomness."""
    made = [torch.Generator(device) for _ in seeds]
    for generator, seed in zip(made, seeds, strict=True):
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed % 2**63)
    return made
