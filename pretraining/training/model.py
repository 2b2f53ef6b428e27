"""The model: an ordinary `GPT2LMHeadModel`, configured for fast training steps."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel


SHORT_CONTEXT = 512  # tokens
GPT2_DEVIATION = 0.02  # of its initial weights (Radford et al. 2019, section 2.3)


class ModelShape(BaseModel):
    """The shape of a GPT-2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(ge=1)
    """The number of tokens in the vocabulary."""
    context: int = Field(ge=2)
    """The longest sequence, in tokens."""
    layers: int = Field(ge=1)
    width: int = Field(ge=1)
    """The size of a token's hidden state."""
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
    """A GPT-2 with random weights, initialised as GPT-2's were.

    The activation is the tanh form of GELU: the same function as GPT-2's `gelu_new`, in one operation of PyTorch instead of
    eight.

    Args:
        end_of_text: the id of the token that ends a document.
        seed: of the weights.
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
    """On a CPU, two plain products beat PyTorch's fused attention if the scores fit the cache (7 % of a step)."""
    import torch

    return "eager" if context <= SHORT_CONTEXT and not torch.cuda.is_available() else "sdpa"


def losses(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """The loss of each target in nats, shape (batch × context,); 0 for ignored targets (-100).

    The targets are already shifted: shifting the logits instead, as transformers does, copies the largest tensor of a step.

    Args:
        logits: shape (batch, context, vocabulary).
        targets: token ids, shape (batch, context).
    """
    import torch.nn.functional as functional

    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").float()
