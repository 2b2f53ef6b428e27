"""An answer's output format as xgrammar holds transformers' decoding to it (the extra `constrained`).

Without xgrammar answers are decoded freely.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import transformers
from sagechain.prompts import OutputFormat

from ..local.transformers.engine import Engine
from .grammars import TEXT, Grammar, grammar_of
from .schemas import NotHeld
from .xgrammar_schemas import grammar_of_schema, refused

# Any text in which no call is opened; xgrammar's Lark has no word for it.
NO_CALL = 'root ::= TagDispatch(excludes=("<tool_call>"))'


def held_to(engine: Engine, output_format: OutputFormat | None) -> Callable[[], Any] | None:
    """What compiles xgrammar's grammar of an output format, in up to a second or so; None where any text fits.

    Raises:
        ValueError: a schema says what xgrammar can't hold decoding to; some of it shows as NotHeld when it is compiled.
    """
    grammar = grammar_of(output_format, refused)
    return None if grammar is None else partial(_compiled, engine, grammar)


def _compiled(engine: Engine, grammar: Grammar) -> Any:
    import xgrammar

    references = "".join(f"{name}: @{name}\n" for name in (*grammar.schemas, "text"))
    try:
        named = {name: grammar_of_schema(schema) for name, schema in grammar.schemas.items()}
        named["text"] = xgrammar.Grammar.from_ebnf(NO_CALL)
        return engine.grammars.compile_lark(f"{grammar.rules}{references}{TEXT}", named_grammars=named)
    except RuntimeError as error:
        raise NotHeld(f"shape: xgrammar can't hold decoding to it: {error}") from error


class Held(transformers.LogitsProcessor):
    """Leaves each row the tokens that go on with its grammar; one that has none, or has ended, is left as it is.

    Args:
        grammars: of each row.
        starts: the column at which each row's answer begins.
        ends: ids that end an answer.
    """

    def __init__(self, grammars: Sequence[Any], starts: Sequence[int], ends: Sequence[int]) -> None:
        from xgrammar import GrammarMatcher

        self._starts = starts
        self._matchers: list[Any] = [
            None if grammar is None else GrammarMatcher(grammar, override_stop_tokens=list(ends))
            for grammar in grammars
        ]
        self._read: list[list[int]] = [[] for _ in grammars]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores in which what does not fit is minus infinity."""
        import xgrammar

        allowed = xgrammar.allocate_token_bitmask(len(scores), scores.shape[-1])
        for row, (matcher, start) in enumerate(zip(self._matchers, self._starts, strict=True)):
            if matcher is not None and _follow(matcher, self._read[row], input_ids[row, start:].tolist()):
                matcher.fill_next_token_bitmask(allowed, row)
        allowed = allowed.to(scores.device)
        held = scores.clone()  # the likelihood of the tokens is still to be told from the scores as they came
        xgrammar.apply_token_bitmask_inplace(held, allowed)
        # What bans tokens (`min_length`, `no_repeat_ngram_size`) may have banned all that are left: the output format wins.
        banned = held.isneginf().all(-1, keepdim=True)
        if banned.any():
            alike = torch.zeros_like(scores)
            xgrammar.apply_token_bitmask_inplace(alike, allowed)
            if alike.isneginf().all(-1).any():
                raise RuntimeError("nothing that the model can write goes on with it; does any value fit the schema?")
            held = torch.where(banned, alike, held)
        return held


def _follow(matcher: Any, read: list[int], tokens: Sequence[int]) -> bool:
    """Bring a matcher that has read some tokens to these (a beam's may be others than before); False: it has ended."""
    same = next((i for i, pair in enumerate(zip(read, tokens, strict=False)) if pair[0] != pair[1]), len(read))
    if same < len(read):
        matcher.rollback(len(read) - same)
        del read[same:]
    for token in tokens[len(read) :]:
        if matcher.is_terminated() or not matcher.accept_token(token):
            return False
        read.append(token)
    return not matcher.is_terminated()
