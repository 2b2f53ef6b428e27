"""The text of tokens that arrive one by one: the parts add up to the whole, and no character is broken."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.llms import HuggingFaceLLM
from sagechain.llms.local.transformers.token_text import UNFINISHED, TokenText

from tests.llms.checkpoints import decode


def parts(llm: HuggingFaceLLM, tokens: list[int], context: list[int]) -> list[str]:
    text = TokenText(partial(decode, llm), context)
    return [*(text.feed(token) for token in tokens), text.flush()]


@given(st.lists(st.integers(0, 399), max_size=40), st.text(max_size=10))
def test_the_parts_of_any_tokens_add_up_to_the_whole_text(tiny: HuggingFaceLLM, tokens: list[int], before: str) -> None:
    context = tiny.get_token_ids(before)
    assert "".join(parts(tiny, tokens, context)) == decode(tiny, tokens)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=UNFINISHED), max_size=30))
def test_no_part_contains_half_a_character(tiny: HuggingFaceLLM, text: str) -> None:
    shown = parts(tiny, tiny.get_token_ids(text), [])
    assert "".join(shown) == text.replace("<|endoftext|>", "")
    assert not any(UNFINISHED in part for part in shown)


def test_a_character_of_four_tokens_comes_with_the_last_of_them(tiny: HuggingFaceLLM) -> None:
    tokens = tiny.get_token_ids("𓀀")
    assert len(tokens) == 4
    assert parts(tiny, [*tokens, *tiny.get_token_ids("!")], []) == ["", "", "", "𓀀", "!", ""]
    assert parts(tiny, tokens[:2], []) == ["", "", UNFINISHED]


@pytest.mark.parametrize("context", ["Say it:", "日"])
def test_a_tokenizer_that_strips_the_first_blank_keeps_it_after_a_prompt(context: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers

    # Llama 2's own: blanks are ▁, unknown characters are bytes, and a text begins with a blank that does not belong to it.
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁Hello", "▁there", *"Sayit:Helothr"]
    tokenizer = Tokenizer(
        models.BPE({word: i for i, word in enumerate(dict.fromkeys(words))}, [], byte_fallback=True, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    known = tokenizer.get_vocab()
    answer = [known["▁Hello"], *tokenizer.encode("😀").ids[1:], known["▁there"]]
    text = TokenText(tokenizer.decode, tokenizer.encode(context).ids)
    assert [*(text.feed(token) for token in answer), text.flush()] == [" Hello", "", "", "", "😀", " there", ""]
