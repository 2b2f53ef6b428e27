"""The model: an ordinary `GPT2LMHeadModel`, set up so that a step on it is quick."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel


SHORT_CONTEXT = 512  # tokens


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


def new_model(shape: ModelShape, *, end_of_text: int, seed: int) -> "GPT2LMHeadModel":
    """A GPT-2 with weights drawn anew, as GPT-2's were (Radford et al. 2019, section 2.3).

    The activation is the tanh form of GELU: the same function as GPT-2's `gelu_new`, in one operation of PyTorch instead of
    eight.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    set_seed(seed)
    return GPT2LMHeadModel(
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
            bos_token_id=end_of_text,
            eos_token_id=end_of_text,
            attn_implementation=_attention(shape.context),  # type: ignore[call-arg]
        )
    )


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


def fast_precision(device: "torch.device") -> Any:
    """The autocast of this device: bf16 where the hardware computes in it, else none.

    A CPU without AVX-512 BF16 or AMX converts back and forth, and is slower by it.
    """
    import contextlib

    import torch

    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported()
    else:
        has_bf16 = device.type == "cpu" and bool(
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
    return torch.autocast(device.type, torch.bfloat16) if has_bf16 else contextlib.nullcontext()
