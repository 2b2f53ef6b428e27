"""MinHash for code: what counts as similar, and agreement with datatrove's own arithmetic."""

import numpy as np
import pytest
from datatrove.pipeline.dedup.minhash import MinhashDedupSignature
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining.data.deduplicate import SHINGLES_AT_ONCE, CodeSignature, near_config

WORDS = [f"word{number}" for number in range(400)]


@pytest.fixture(scope="module")
def signature(tmp_path_factory: pytest.TempPathFactory) -> CodeSignature:
    return CodeSignature(str(tmp_path_factory.mktemp("signatures")), near_config())


def similarity(signature: CodeSignature, a: str, b: str) -> float:
    """The share of distinct runs that both documents have."""
    first, second = (set(signature.get_shingles(text).ravel().tolist()) for text in (a, b))
    return len(first & second) / len(first | second)


def buckets_shared(signature: CodeSignature, a: str, b: str) -> int:
    first, second = (signature.get_signature(signature.get_shingles(text)) for text in (a, b))
    return sum(one == other for one, other in zip(first, second, strict=True))


def test_runs_are_of_five_words_whatever_stands_between_them(signature: CodeSignature) -> None:
    assert similarity(signature, "a b c d e f", "a(b, c)\n\n[d] = e.f") == 1
    assert similarity(signature, "a b c d e f", "a b c d e g") == 1 / 3
    assert similarity(signature, "a b c d e", "b a c d e") == 0
    assert similarity(signature, "a b c d e", "A b c d e") == 0


@pytest.mark.parametrize(
    ("a", "same", "other"), [("import os", "import  os\n", "import sys"), ("[...]", "[...]", "(...)")]
)
def test_a_short_document_is_one_run(signature: CodeSignature, a: str, same: str, other: str) -> None:
    assert signature.get_shingles(a).shape == (1, 1)
    assert similarity(signature, a, same) == 1
    assert similarity(signature, a, other) == 0


def test_a_near_copy_shares_a_bucket_and_another_text_none(signature: CodeSignature) -> None:
    text, other = " ".join(WORDS[:200]), " ".join(WORDS[200:])
    near = text.replace("word100", "changed")
    assert similarity(signature, text, near) == pytest.approx(191 / 201)
    assert buckets_shared(signature, text, near) > 0
    assert buckets_shared(signature, text, other) == 0


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.sampled_from([1, SHINGLES_AT_ONCE]))
def test_the_signature_is_datatroves_bit_for_bit(signature: CodeSignature, values: list[int], repeats: int) -> None:
    shingles = np.array(values, dtype=np.uint64).reshape(-1, 1)
    with np.errstate(over="ignore"):
        theirs = MinhashDedupSignature.get_signature(signature, shingles)
    assert signature.get_signature(np.tile(shingles, (repeats, 1))) == theirs


@given(st.text())
def test_every_text_has_a_run(signature: CodeSignature, text: str) -> None:
    assert len(signature.get_shingles(text)) > 0


def test_the_cache_of_words_does_not_change_what_is_found(
    signature: CodeSignature, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(WORDS)
    before = signature.get_shingles(text)
    monkeypatch.setattr("sagechain.pretraining.data.deduplicate.CACHED_WORDS", 3)
    signature._hashes.clear()
    assert (signature.get_shingles(text) == before).all()
