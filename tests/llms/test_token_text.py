"""Text of tokens that arrive one by one: the pieces come to the whole, and no character is broken."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.llms import HuggingFaceLLM
from sagechain.llms.local.transformers.token_text import UNFINISHED, TokenText


def pieces(llm: HuggingFaceLLM, tokens: list[int], context: list[int]) -> list[str]:
    text = TokenText(llm._engine.decode, context)
    return [*(text.feed(token) for token in tokens), text.flush()]


@given(st.lists(st.integers(0, 399), max_size=40), st.text(max_size=10))
def test_pieces_of_any_tokens_come_to_the_whole_text(tiny: HuggingFaceLLM, tokens: list[int], before: str) -> None:
    context = tiny.get_token_ids(before)
    assert "".join(pieces(tiny, tokens, context)) == tiny._engine.decode(tokens)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=UNFINISHED), max_size=30))
def test_no_piece_holds_half_a_character(tiny: HuggingFaceLLM, text: str) -> None:
    shown = pieces(tiny, tiny.get_token_ids(text), [])
    assert "".join(shown) == text.replace("<|endoftext|>", "")
    assert not any(UNFINISHED in piece for piece in shown)


def test_a_character_of_four_tokens_comes_out_with_its_last(tiny: HuggingFaceLLM) -> None:
    tokens = tiny.get_token_ids("𓀀")
    assert len(tokens) == 4
    assert pieces(tiny, [*tokens, *tiny.get_token_ids("!")], []) == ["", "", "", "𓀀", "!", ""]
    assert pieces(tiny, tokens[:2], []) == ["", "", UNFINISHED]


@pytest.mark.parametrize("context", ["Say it:", "日"])
def test_a_tokenizer_that_strips_the_first_blank_keeps_it_after_a_prompt(context: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers

    # Llama 2's own: blanks are ▁, unknown characters are bytes, and a text begins with a blank that is no part of it.
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
