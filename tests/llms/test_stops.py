"""Stop strings: literal, exact, and the same however the text arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.llms.stop_strings import StopCutter

CASES = [
    (["</s>", "\nUser:"], "Paris.\nUser: and Rome?", "Paris."),
    (["<|endoftext|>"], "a <b> c<|endoftext|> d", "a <b> c"),
    (["(", "[x]*"], "f[x]*(1)", "f"),
    ([".*"], "no match.", "no match."),
    (["ab", "abc"], "xabc", "x"),
    (["bcd", "abcde"], "xabcdef", "xa"),
    (["aab"], "aaab", "a"),
    (["é!", "ü"], "naïve é? é! ü", "naïve é? "),
    (["\n\n"], "one\n\ntwo", "one"),
    (["STOP"], "stop", "stop"),
    (["END"], "EN", "EN"),
    ([], "anything", "anything"),
]


def cut(stops: list[str], chunks: list[str]) -> str:
    cutter = StopCutter(stops)
    return "".join(cutter.feed(chunk) for chunk in chunks) + cutter.flush()


@pytest.mark.parametrize(("stops", "text", "expected"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_the_cut_is_the_same_however_the_stream_is_chunked(
    stops: list[str], text: str, expected: str, size: int
) -> None:
    assert cut(stops, [text[i : i + size] for i in range(0, len(text), size)]) == expected


@given(
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=4),
    st.lists(st.text("abc", max_size=5), max_size=8),
)
def test_chunking_never_matters(stops: list[str], chunks: list[str]) -> None:
    assert cut(stops, chunks) == cut(stops, list("".join(chunks))) == cut(stops, ["".join(chunks)])


@given(st.lists(st.text("abc", min_size=1, max_size=4)), st.text("abc"))
def test_the_shown_text_is_a_prefix_without_any_stop_string(stops: list[str], text: str) -> None:
    shown = cut(stops, [text])
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)


def test_only_the_beginning_of_a_stop_string_is_buffered() -> None:
    cutter = StopCutter(["\nUser:"])
    assert cutter.feed("Paris.\nUs") == "Paris."
    assert cutter.feed("ual") == "\nUsual"


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="an empty stop string"):
        StopCutter(["a", ""])


def test_a_stop_string_that_the_text_nearly_repeats_is_found_when_it_comes() -> None:
    cutter = StopCutter(["a" * 3_000 + "b", "aab"])
    assert [cutter.feed("a") for _ in range(4_000)] == [""] * 3_000 + ["a"] * 1_000
    assert cutter.feed("b") == ""
    assert cutter.stopped
