"""The model: an ordinary `GPT2LMHeadModel`, set up so that a step on it is quick."""

import time
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel


SHORT_CONTEXT = 512  # tokens
GPT2_DEVIATION = 0.02  # of its first weights (Radford et al. 2019, section 2.3)


class ModelShape(BaseModel):
    """The shape of a GPT-2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(ge=1)
    """Tokens that the model knows."""
    context: int = Field(ge=2)
    """Tokens that it reads at once."""
    layers: int = Field(ge=1)
    width: int = Field(ge=1)
    """Numbers that stand for a token between two layers."""
    heads: int = Field(ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    scale_attention_by_layer: bool = False
    """Divide the attention of layer i by i, as the published CodeParrot does."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "ModelShape":
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} is not a multiple of heads={self.heads}")
        return self


def new_model(
    shape: ModelShape, *, end_of_text: int, seed: int, deviation: float = GPT2_DEVIATION
) -> "GPT2LMHeadModel":
    """A GPT-2 with weights drawn anew, as GPT-2's were.

    The activation is the tanh form of GELU: the same function as GPT-2's `gelu_new`, in one operation of PyTorch instead of
    eight.

    Args:
        deviation: standard deviation of the blocks' matrices; the embeddings have GPT-2's.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    set_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocabulary,
            n_positions=shape.context,
            n_layer=shape.layers,
            n_embd=shape.width,
            n_head=shape.heads,
            resid_pdrop=shape.dropout,
            embd_pdrop=shape.dropout,
            attn_pdrop=shape.dropout,
            scale_attn_by_inverse_layer_idx=shape.scale_attention_by_layer,
            activation_function="gelu_pytorch_tanh",
            initializer_range=deviation,
            bos_token_id=end_of_text,
            eos_token_id=end_of_text,
            attn_implementation=_attention(shape.context),  # type: ignore[call-arg]
        )
    )
    for embedding in (model.transformer.wte, model.transformer.wpe):
        embedding.weight.data.mul_(GPT2_DEVIATION / deviation)
    return model


def _attention(context: int) -> str:
    """On a CPU, two plain products beat PyTorch's fused attention where the scores fit the cache (7 % of a step)."""
    import torch

    return "eager" if context <= SHORT_CONTEXT and not torch.cuda.is_available() else "sdpa"


def losses(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """Nats of each target, shape (batch × context,); 0 where a target is left out (-100).

    The targets are shifted already: shifting the logits instead, as transformers does, copies the largest tensor of a step.
    """
    import torch.nn.functional as functional

    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").float()


def fast_precision(device: "torch.device", precision: str = "auto") -> Any:
    """The autocast of this device.

    Args:
        precision: `bf16`, `fp32`, or `auto` for whatever is the faster here.
    """
    import contextlib

    import torch

    if precision == "auto":
        precision = faster_precision(device.type)
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


@cache
def faster_precision(kind: str) -> Literal["bf16", "fp32"]:
    """In which precision this kind of device multiplies matrices faster.

    A CPU is measured, for 20 ms: what its flags say is not enough. A Xeon with AVX-512 BF16 whose AMX was hidden gave
    306 GFLOP/s in fp32 and 47 in bf16 (torch 2.13).
    """
    import torch

    if kind == "cuda":
        # Before Ampere bf16 is emulated.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    can = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if kind != "cpu" or not can:
        return "fp32"
    return "bf16" if _product_seconds(torch.bfloat16) < _product_seconds(torch.float32) else "fp32"


def _product_seconds(kind: "torch.dtype") -> float:
    """Of the quickest of some products of the `demo` preset's shape."""
    import torch

    left, right = (torch.ones(size, dtype=kind) for size in ((2_048, 256), (256, 1_024)))
    taken = []
    for _ in range(6):
        began = time.perf_counter()
        left @ right
        taken.append(time.perf_counter() - began)
    return min(taken)
