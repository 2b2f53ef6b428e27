"""Constrained decoding in transformers: llguidance's grammars as a logits processor.

The masks are applied here: llguidance's own for torch needs a C compiler (`torch.compile`).
"""

from collections.abc import Sequence
from typing import Any

import torch
import transformers


class GrammarConstraint(transformers.LogitsProcessor):
    """Leaves each row only the tokens that continue its grammar; a row whose answer has ended is unchanged.

    Args:
        matchers: llguidance's, one for each row.
        starts: the column at which each row's answer begins.
        ends: ids that end an answer.
    """

    def __init__(self, matchers: Sequence[Any], starts: Sequence[int], ends: Sequence[int]) -> None:
        self._rows = [_ConstrainedRow(matcher, ends) for matcher in matchers]
        self._starts = starts

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """New scores, minus infinity for every other token."""
        allowed = torch.ones_like(scores, dtype=torch.bool)
        for number, (row, start) in enumerate(zip(self._rows, self._starts, strict=True)):
            if row.follow(input_ids[number, start:].tolist()):
                allowed[number] = row.allowed().to(scores.device)
        constrained = scores.masked_fill(~allowed, -torch.inf)
        # `min_length` and `no_repeat_ngram_size` may have banned every remaining token: the grammar wins.
        banned = constrained.isneginf().all(-1, keepdim=True)
        if banned.any():
            constrained = torch.where(banned, torch.zeros_like(scores).masked_fill(~allowed, -torch.inf), constrained)
        return constrained


class _ConstrainedRow:
    """Follows the tokens of one row; from step to step a beam may take over another beam's."""

    def __init__(self, matcher: Any, ends: Sequence[int]) -> None:
        self._matcher, self._ends = matcher.deep_copy(), list(ends)
        self._consumed: list[int] = []

    def follow(self, tokens: Sequence[int]) -> bool:
        """Bring the matcher to these tokens; False if the answer has ended before the last of them."""
        pairs = enumerate(zip(self._consumed, tokens, strict=False))
        common = next((i for i, (old, new) in pairs if old != new), min(len(self._consumed), len(tokens)))
        if common < len(self._consumed):
            self._matcher.rollback(len(self._consumed) - common)
        accepted = self._matcher.try_consume_tokens(list(tokens[common:]))
        self._consumed = list(tokens[: common + accepted])
        return len(self._consumed) == len(tokens)

    def allowed(self) -> torch.Tensor:
        """For each token whether it may come next, of shape (vocabulary,)."""
        mask = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8) != 0
        if self._matcher.is_error() or not mask.any():
            raise RuntimeError(f"no token continues the grammar: {self._matcher.get_error() or 'none is allowed'}")
        if mask[self._ends].any():  # the end of an answer may be any of these
            mask[self._ends] = True
        return mask
