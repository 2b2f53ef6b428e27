"""Initial embeddings computed from neighbouring tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sagechain.pretraining import train
from sagechain.pretraining.data.tokens import TokenArray
from sagechain.pretraining.training.embeddings import DEVIATION, neighbour_embeddings

from tests.pretraining.conftest import TINY

VOCABULARY, WIDTH = 40, 16


def row(folder: Path, tokens: "list[int]") -> TokenArray:
    np.array(tokens, "<u2").tofile(folder / "train-00000.bin")
    return TokenArray(folder, "train", VOCABULARY)


def sentences(seed: int = 0) -> list[int]:
    """Random tokens from 4 on, each third of them token 1 or 2 by chance, between 10 and 11; token 3 occurs elsewhere."""
    drawn = np.random.default_rng(seed)
    found: list[int] = []
    for _ in range(2_000):
        found += [10, int(drawn.integers(1, 3)), 11, *drawn.integers(12, VOCABULARY, 3).tolist(), 20, 3, 21]
    return found


def likeness(made: torch.Tensor, left: int, right: int) -> float:
    return float(torch.cosine_similarity(made[left], made[right], dim=0))


def test_a_row_of_one_token_has_random_embeddings(tmp_path: Path) -> None:
    made = neighbour_embeddings(row(tmp_path, [7] * 100), vocabulary=VOCABULARY, width=WIDTH, seed=0)
    assert float(made.std()) == pytest.approx(DEVIATION, rel=1e-5)
    assert abs(likeness(made, 7, 8)) < 0.9


def test_tokens_with_the_same_neighbours_lie_near_one_another(tmp_path: Path) -> None:
    made = neighbour_embeddings(row(tmp_path, sentences()), vocabulary=VOCABULARY, width=WIDTH, seed=0)
    assert likeness(made, 1, 2) > 0.9
    assert likeness(made, 1, 3) < 0.5


def test_they_have_the_shape_the_mean_and_the_deviation_that_are_stated(tmp_path: Path) -> None:
    made = neighbour_embeddings(row(tmp_path, sentences()), vocabulary=VOCABULARY, width=64, seed=0)
    assert made.shape == (VOCABULARY, 64)  # wider than the vocabulary has axes
    assert made.dtype == torch.float32
    assert torch.allclose(made.mean(0), torch.zeros(64), atol=1e-6)
    assert abs(float(made.std()) - DEVIATION) < 1e-6


def test_they_are_the_same_for_the_same_seed_and_do_not_change_global_random_state(tmp_path: Path) -> None:
    tokens = row(tmp_path, sentences())
    torch.manual_seed(7)
    first = neighbour_embeddings(tokens, vocabulary=VOCABULARY, width=WIDTH, seed=3)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(first, neighbour_embeddings(tokens, vocabulary=VOCABULARY, width=WIDTH, seed=3))
    assert not torch.equal(first, neighbour_embeddings(tokens, vocabulary=VOCABULARY, width=WIDTH, seed=4))


def test_a_short_run_learns_more_from_them_than_from_random_ones(data: Path, tmp_path: Path) -> None:
    bits = {}
    for embeddings in ("random", "neighbours"):
        run = train(data, tmp_path / embeddings, tokens=2_560, embeddings=embeddings, **TINY)
        bits[embeddings] = json.loads((run / "manifest.json").read_text())["val_bits_per_byte"]
    assert bits["neighbours"] < bits["random"]
