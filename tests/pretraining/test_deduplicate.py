"""MinHash for code: what counts as similar, and agreement with datatrove's own arithmetic."""

from pathlib import Path

import numpy as np
import pytest
from datatrove.pipeline.dedup.minhash import MinhashDedupSignature
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining.data.deduplicate import NEAR, SHINGLES_AT_ONCE, CodeSignature

WORDS = [f"word{number}" for number in range(400)]


@pytest.fixture(scope="module")
def signature(tmp_path_factory: pytest.TempPathFactory) -> CodeSignature:
    return CodeSignature(str(tmp_path_factory.mktemp("signatures")), NEAR)


def similarity(signature: CodeSignature, a: str, b: str) -> float:
    """The share of distinct runs that both documents have."""
    first, second = (set(signature.get_shingles(text).ravel().tolist()) for text in (a, b))
    return len(first & second) / len(first | second)


def buckets_shared(signature: CodeSignature, a: str, b: str) -> int:
    first, second = (signature.get_signature(signature.get_shingles(text)) for text in (a, b))
    return sum(one == other for one, other in zip(first, second, strict=True))


def test_runs_are_of_five_words_whatever_separates_them(signature: CodeSignature) -> None:
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


def test_a_full_cache_of_words_does_not_change_the_runs(
    signature: CodeSignature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(WORDS)
    monkeypatch.setattr("sagechain.pretraining.data.deduplicate.CACHED_WORDS", 3)
    small_cache = CodeSignature(str(tmp_path), NEAR)
    assert (small_cache.get_shingles(text) == signature.get_shingles(text)).all()


def test_of_pairs_that_share_four_fifths_of_their_runs_about_92_percent_are_found(signature: CodeSignature) -> None:
    """1 - (1 - 0.8 ** 8) ** 14, the figure in the docs."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(500):
        shingles = rng.integers(0, 2**64, 100, dtype=np.uint64)
        both, first, second = shingles[:80], shingles[80:90], shingles[90:]
        signatures = [signature.get_signature(np.concatenate([both, own]).reshape(-1, 1)) for own in (first, second)]
        found += any(one == other for one, other in zip(*signatures, strict=True))
    assert found / 500 == pytest.approx(0.92, abs=0.04)
