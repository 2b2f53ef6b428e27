"""Muon in fp32 computes the same as torch's Muon."""

from typing import Any

import pytest
import torch
from sagechain.pretraining.training.muon import GramMuon, orthogonal

SHAPES = [(24, 72), (24, 24), (96, 24), (24, 72)]


def weights() -> list[torch.nn.Parameter]:
    drawn = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=drawn)) for shape in SHAPES]


def stepped(optimizer: torch.optim.Optimizer, matrices: list[torch.nn.Parameter]) -> None:
    drawn = torch.Generator().manual_seed(1)
    for _ in range(4):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape, generator=drawn)
        optimizer.step()


def test_its_steps_equal_those_of_torchs_muon_up_to_bf16_rounding() -> None:
    given: dict[str, Any] = {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1}
    ours, theirs = weights(), weights()
    stepped(GramMuon(ours, **given), ours)
    stepped(torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **given), theirs)
    for start, mine, other in zip(weights(), ours, theirs, strict=True):
        moved = (other - start).norm()
        assert (mine - other).norm() < 0.02 * moved


@pytest.mark.parametrize("shape", [(1, 32, 128), (3, 128, 32), (2, 48, 48)])
def test_singular_values_become_one_and_singular_vectors_are_unchanged(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrices)
    assert found.shape == shape
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    within = left.mT @ found @ right.mT
    diagonal = within.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(within, torch.diag_embed(diagonal), atol=1e-4)
    large = values > 0.05 * values.amax(-1, keepdim=True)
    assert bool(((diagonal[large] > 0.6) & (diagonal[large] < 1.3)).all())


def test_a_matrix_of_zeros_stays_one() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 4, 8)), torch.zeros(1, 4, 8))


def test_its_state_is_restored_from_a_checkpoint() -> None:
    whole, halved = weights(), weights()
    given: dict[str, Any] = {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1}
    optimizer = GramMuon(whole, **given)
    stepped(optimizer, whole)
    stepped(optimizer, whole)
    first = GramMuon(halved, **given)
    stepped(first, halved)
    second = GramMuon(halved, **given)
    second.load_state_dict(first.state_dict())
    stepped(second, halved)
    assert all(torch.equal(left, right) for left, right in zip(whole, halved, strict=True))
