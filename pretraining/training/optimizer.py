"""Muon for the matrices of the blocks and AdamW for the rest, as the one `Optimizer` that the Trainer expects.

Muon makes each update of a matrix orthogonal; at this size it needs half the tokens of AdamW (RUNS.md). Embeddings, norms
and biases are not matrices between hidden states, so AdamW updates them.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers"; the match of its rate to AdamW's: arXiv 2502.16982.
"""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch.optim import AdamW, Muon, Optimizer

from .muon import GramMuon
from .precision import Precision
from .settings import TrainingSettings

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

ADAM_BETA1 = 0.9
# With Muon, in runs of hundreds of steps, lower values than usual are better by 0.01 bits per byte each (RUNS.md).
MUON_MOMENTUM = 0.85
ADAM_BETA1_WITH_MUON = 0.8


class CombinedOptimizer(Optimizer):
    """Several optimizers that step together; one list of their groups, so one schedule drives them all."""

    def __init__(self, parts: list[Optimizer]) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Use the parts' own groups, so that a changed learning rate applies to them."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The parts' own states, by number."""
        return {str(number): part.state_dict() for number, part in enumerate(self.parts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for number, part in enumerate(self.parts):
            part.load_state_dict(state_dict[str(number)])
        self._share()


def create_optimizer(model: "GPT2LMHeadModel", settings: TrainingSettings, precision: Precision) -> Optimizer:
    """The optimizer of a model.

    Args:
        settings: the kind, the learning rates and the weight decay, which norms and biases do not have.
        precision: of Muon's own products.
    """
    kind, weight_decay = settings.optimizer, settings.weight_decay
    blocks = [weight for name, weight in model.named_parameters() if ".h." in name and weight.ndim == 2]
    in_blocks = {id(weight) for weight in blocks} if kind == "muon" else set()
    rest = [weight for weight in model.parameters() if id(weight) not in in_blocks]
    adamw = AdamW(
        [
            {"params": [weight for weight in rest if weight.ndim >= 2], "weight_decay": weight_decay},
            {"params": [weight for weight in rest if weight.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(ADAM_BETA1_WITH_MUON if kind == "muon" else ADAM_BETA1, settings.adam_beta2),
        fused=True,
    )
    if kind == "adamw":
        return adamw
    options: dict[str, Any] = {
        "lr": settings.matrix_learning_rate,
        "momentum": MUON_MOMENTUM,
        "weight_decay": weight_decay,
    }
    if precision == "fp32":
        return CombinedOptimizer([GramMuon(blocks, **options), adamw])
    return CombinedOptimizer([cast(Optimizer, Muon(blocks, adjust_lr_fn="match_rms_adamw", **options)), adamw])
