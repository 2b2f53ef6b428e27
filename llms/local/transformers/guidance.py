"""llguidance over a transformers tokenizer (the extra `constrained`)."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from ...constrained.schemas import UnsupportedSchema


def reads_tokenizer(tokenizer: Any) -> bool:
    """Whether llguidance is installed and reads this kind of tokenizer."""
    if find_spec("llguidance") is None or not tokenizer.is_fast:
        return False
    from llguidance import LLTokenizer
    from tokenizers import Tokenizer, models

    # llguidance 1.9.1 reads tokenizers that decode bytes (GPT-2's, Llama's). An empty one with the same decoder shows it in
    # milliseconds; a whole one takes a second.
    probe = Tokenizer(models.BPE())
    try:
        probe.decoder = tokenizer.backend_tokenizer.decoder
        LLTokenizer(probe.to_str())
    except (TypeError, ValueError):
        return False
    return True


def guidance_tokenizer(tokenizer: Any, vocabulary_size: int, end_ids: Sequence[int]) -> Any:
    """The vocabulary as llguidance reads it; a second for 50,000 tokens."""
    from llguidance.hf import from_tokenizer

    return from_tokenizer(tokenizer, n_vocab=vocabulary_size, eos_token=list(end_ids))


def compile_grammar(tokenizer: Any, grammar: str) -> Any:
    """llguidance's matcher, which determines token by token what continues a grammar.

    Raises:
        UnsupportedSchema: llguidance refuses a schema in the grammar, or no value fits it.
    """
    from llguidance import LLMatcher

    matcher = LLMatcher(tokenizer, grammar, log_level=0)
    if matcher.is_error():
        # "at 3(9): failed to compile JSON schema: REASON", then the grammar with line numbers.
        reason = matcher.get_error().partition("\n   1 | ")[0].rpartition("JSON schema: ")[2]
        raise UnsupportedSchema(
            f"schema: decoding can't be constrained to it: {' '.join(reason.split())}; simplify it, or request any "
            "JSON object (method='json_mode')"
        )
    return matcher
