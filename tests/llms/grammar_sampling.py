"""Texts of a grammar, by llguidance over bytes and without a model."""

import random

from llguidance import LLMatcher, LLTokenizer

BYTES = LLTokenizer("byte")
CLOSING = frozenset(b'"}]')


def is_answer(grammar: str, text: str) -> bool:
    """Whether a whole answer may be this text."""
    matcher = LLMatcher(BYTES, grammar)
    tokens = list(text.encode())
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def sample(grammar: str, *, seed: int, max_bytes: int = 120) -> str | None:
    """A random text of the grammar, drawn byte by byte; None if it is longer than `max_bytes`."""
    matcher, chance, text = LLMatcher(BYTES, grammar), random.Random(seed), b""
    while len(text) < max_bytes:
        allowed = [token for token, bias in enumerate(matcher.compute_logit_bias()) if bias]
        closing = [token for token in allowed if token in CLOSING or token == BYTES.eos_token]
        token = chance.choice(closing if closing and len(text) > 20 else allowed)
        if token == BYTES.eos_token:
            return text.decode()
        assert matcher.consume_token(token)
        text += bytes([token])
    return None
