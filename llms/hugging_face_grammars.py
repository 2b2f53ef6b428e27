"""An answer's shape as xgrammar holds transformers' decoding to it (the extra `constrained`).

Without xgrammar answers are decoded freely.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
from sagechain.llms.grammars import TEXT, grammar_of
from sagechain.llms.held_schemas import not_held
from sagechain.llms.hugging_face_engine import Engine
from sagechain.prompts.schema_check import parts
from sagechain.prompts.shapes import Shape

# Any text in which no call is opened; xgrammar's Lark has no word for it.
NO_CALL = 'root ::= TagDispatch(excludes=("<tool_call>"))'

# xgrammar 0.2.8 lets strings of a given length have control characters, which JSON does not: what it says, and should.
CONTROL_CHARACTERS = (r"[^\"\\\r\n]", r"[^\0-\x1f\"\\]")


def held_to(engine: Engine, shape: Shape | None) -> Any:
    """xgrammar's compiled grammar of a shape; None where any text fits.

    Raises:
        ValueError: a schema says what xgrammar can't hold decoding to.
    """
    grammar = grammar_of(shape)
    if grammar is None:
        return None
    import xgrammar

    for name, schema in grammar.schemas.items():
        # xgrammar 0.2.8 takes it for any value, and only warns.
        if any(len(part.get("allOf", ())) > 1 for part in parts(schema)):
            raise not_held(name, "several schemas in 'allOf'")
    references = "".join(f"{name}: @{name}\n" for name in (*grammar.schemas, "text"))
    try:
        named = {name: _of_schema(schema) for name, schema in grammar.schemas.items()}
        named["text"] = xgrammar.Grammar.from_ebnf(NO_CALL)
        return engine.grammars.compile_lark(f"{grammar.rules}{references}{TEXT}", named_grammars=named)
    except RuntimeError as error:
        raise ValueError(f"shape: xgrammar can't hold decoding to it: {error}") from error


def _of_schema(schema: Mapping[str, Any]) -> Any:
    from xgrammar import Grammar

    # Strict, it would allow no property and no item that the schema does not name.
    made = Grammar.from_json_schema(dict(schema), any_whitespace=False, strict_mode=False)
    return Grammar.from_ebnf(str(made).replace(*CONTROL_CHARACTERS))


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
            if matcher is not None and self._follow(row, input_ids[row, start:].tolist()):
                matcher.fill_next_token_bitmask(allowed, row)
        allowed = allowed.to(scores.device)
        held = scores.clone()  # the likelihood of the tokens is still to be told from the scores as they came
        xgrammar.apply_token_bitmask_inplace(held, allowed)
        # What bans tokens (`min_length`, `no_repeat_ngram_size`) may have banned all that are left: the shape wins.
        banned = held.isneginf().all(-1, keepdim=True)
        if banned.any():
            alike = torch.zeros_like(scores)
            xgrammar.apply_token_bitmask_inplace(alike, allowed)
            held = torch.where(banned, alike, held)
        return held

    def _follow(self, row: int, tokens: list[int]) -> bool:
        """Bring a row's matcher to its tokens (those of a beam may be others than before); False where it has ended."""
        matcher, read = self._matchers[row], self._read[row]
        same = next((i for i, pair in enumerate(zip(read, tokens, strict=False)) if pair[0] != pair[1]), len(read))
        if same < len(read):
            matcher.rollback(len(read) - same)
            del read[same:]
        for token in tokens[len(read) :]:
            if matcher.is_terminated() or not matcher.accept_token(token):
                return False
            read.append(token)
        return not matcher.is_terminated()
