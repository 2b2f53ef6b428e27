"""Logits processors: transformers' own, each row without its padding, and random draws with a generator for each row.

transformers' processors take the padding before a shorter prompt for tokens of the prompt, so a penalty or a length would
mean something else in a batch. Its sampling uses one random number generator for all rows, and for the whole process.
"""

from collections.abc import Sequence

import torch
import transformers

from ...parameters import GenerationParameters


def processors(
    parameters: GenerationParameters,
    padding: Sequence[int],
    ends: Sequence[int],
    *,
    keep: int,
    constraint: Sequence[transformers.LogitsProcessor],
) -> list[transformers.LogitsProcessor]:
    """The processors for these parameters, in transformers' own order.

    Args:
        padding: tokens of padding before each row.
        ends: ids that end an answer.
        keep: least number of candidates that `top_k` and `top_p` leave.
        constraint: grammar constraints; they come before `top_k` and `top_p`, which then choose among what fits.
    """
    penalties: list[transformers.LogitsProcessor] = []
    if parameters.repetition_penalty not in (None, 1):
        penalties.append(transformers.RepetitionPenaltyLogitsProcessor(float(parameters.repetition_penalty or 1)))
    if parameters.no_repeat_ngram_size:
        penalties.append(transformers.NoRepeatNGramLogitsProcessor(parameters.no_repeat_ngram_size))
    if parameters.min_length and ends:
        penalties.append(transformers.MinLengthLogitsProcessor(parameters.min_length, list(ends)))
    warpers = _warpers(parameters, keep) if parameters.samples else []
    return [*(WithoutPadding(penalty, padding) for penalty in penalties), *constraint, *warpers]


def _warpers(parameters: GenerationParameters, keep: int) -> list[transformers.LogitsProcessor]:
    warpers: list[transformers.LogitsProcessor] = []
    if parameters.temperature not in (None, 1):
        warpers.append(transformers.TemperatureLogitsWarper(float(parameters.temperature or 1)))
    if parameters.top_k:
        warpers.append(transformers.TopKLogitsWarper(parameters.top_k, min_tokens_to_keep=keep))
    if parameters.top_p not in (None, 1):
        warpers.append(transformers.TopPLogitsWarper(float(parameters.top_p or 1), min_tokens_to_keep=keep))
    return warpers


class WithoutPadding(transformers.LogitsProcessor):
    """A processor that sees each row without the padding before it.

    Args:
        padding: tokens of padding before each row.
    """

    def __init__(self, processor: transformers.LogitsProcessor, padding: Sequence[int]) -> None:
        self._processor, self._padding = processor, padding

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """New scores, of shape (rows, vocabulary)."""
        if not any(self._padding):
            changed = [self._processor(input_ids, scores)]
        else:
            changed = [
                self._processor(input_ids[row : row + 1, length:], scores[row : row + 1])
                for row, length in enumerate(self._padding)
            ]
        return torch.cat(changed)


class RandomDraw(transformers.LogitsProcessor):
    """Makes the highest score a draw: the arg max of log p − log e, e exponential, is a token with probability p.

    Each row draws from its own generator, so an answer does not depend on its neighbours in a batch, and no other thread's
    random numbers are touched.

    Args:
        generators: one for each row.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = generators

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores whose arg max is the token drawn."""
        noise = torch.empty_like(scores)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.log()


class ModelScores(transformers.LogitsProcessor):
    """Stores the model's own scores of a step, before penalties, constraints and draws change them."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores, unchanged."""
        self._scores = scores
        return scores

    def log_probabilities(self, tokens: torch.Tensor) -> list[float]:
        """The log probability (nats) of the token that each row took."""
        taken = self._scores.gather(1, tokens[:, None])[:, 0]
        log_probabilities: list[float] = (taken - self._scores.logsumexp(-1)).tolist()
        return log_probabilities


def random_generators(seeds: Sequence[int | None], device: torch.device) -> list[torch.Generator]:
    """A generator for each seed; None seeds it from the system's own randomness."""
    generators = [torch.Generator(device) for _ in seeds]
    for generator, seed in zip(generators, seeds, strict=True):
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed % 2**63)
    return generators
