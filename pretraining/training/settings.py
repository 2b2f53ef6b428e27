"""The settings of a training run: a preset, and the fields that override it.

    shape, settings = resolve_settings("demo", vocabulary=8192, context=256, changes={"tokens": 300_000, "width": 128})

Presets are YAML files in `presets/`; every field can be overridden.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import unknown_name
from ..yaml_data import read_yaml
from .model import GPT2_DEVIATION, ModelShape

PRESETS = ("demo", "tiny", "codeparrot-small", "codeparrot")  # smallest model first
# These may change on a resume: the result is the same except for rounding and the places where dropout acts.
CHANGEABLE = ("device_batch", "activation_checkpointing", "compile", "keep")


class TrainingSettings(BaseModel):
    """How a model is trained. Its length is counted in tokens or seconds, not in epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int | None = Field(default=None, ge=1)
    """The budget in tokens. Rounded up to a whole step."""
    seconds: float | None = Field(default=None, gt=0)
    """The budget in seconds of training, without evaluations and checkpoints."""
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = Field(default=5e-3, gt=0)
    """The maximum learning rate of AdamW."""
    matrix_learning_rate: float = Field(default=1e-2, gt=0)
    """The maximum learning rate of Muon."""
    adam_beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW's decay rate of the squares of gradients."""
    embeddings: Literal["random", "neighbours"] = "random"
    """Their initial values: random, as in GPT-2, or from the neighbours of tokens in the train split."""
    initial_deviation: float = Field(default=GPT2_DEVIATION, gt=0)
    """Standard deviation of the blocks' random matrices; GPT-2's is 0.02."""
    schedule: Literal["linear", "cosine"] = "linear"
    """The decrease of the learning rate to zero over the budget, after the warm-up."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """The share of the budget in which the learning rate rises."""
    weight_decay: float = Field(default=0.1, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """The largest norm of a step's gradient."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens of one step, over all devices."""
    device_batch: int | None = Field(default=None, ge=1)
    """Sequences of one forward pass on a device; the rest of its share of a step is accumulated. None: its whole share."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of products of matrices. `auto`: the faster one where the run starts, also after a resume elsewhere."""
    activation_checkpointing: bool = False
    """Compute activations twice instead of storing them: less memory, a third more time."""
    compile: bool | None = None
    """Compile the model with torch.compile. None: on a GPU only; on two cores it does not pay."""
    evaluations: int = Field(default=5, ge=0)
    """Evaluations on a part of the validation split within the budget; all of it is evaluated at the end."""
    keep: int = Field(default=2, ge=1)
    """The number of checkpoints that are retained."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_budget(self) -> "TrainingSettings":
        if (self.tokens is None) == (self.seconds is None):
            raise ValueError("give either tokens or seconds as the budget")
        return self


def load_preset(name: str) -> Any:
    """A preset: its `model` and `training` fields. Raises ValueError for an unknown name."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return read_yaml(f"{__package__}.presets", f"{name}.yaml")


def resolve_settings(
    preset: str, *, vocabulary: int, context: int | None, changes: dict[str, Any]
) -> tuple[ModelShape, TrainingSettings]:
    """The shape and the settings of a run: the preset's, overridden by `changes`.

    Args:
        vocabulary: the size of the data's tokenizer.
        context: the context that the data was prepared for; the preset's own if that is smaller.
        changes: fields of `ModelShape` and `TrainingSettings`. `tokens` replaces the preset's `seconds`, and vice versa.

    Raises:
        ValueError: a field that is unknown or out of range.
    """
    fields = load_preset(preset)
    model, training = dict(fields["model"]), dict(fields["training"])
    for name, value in changes.items():
        if name in ModelShape.model_fields and name != "vocabulary":
            model[name] = value
        elif name in TrainingSettings.model_fields:
            training[name] = value
        else:
            raise unknown_name(
                "setting", name, {*ModelShape.model_fields, *TrainingSettings.model_fields} - {"vocabulary"}
            )
    for budget, other in (("tokens", "seconds"), ("seconds", "tokens")):
        if budget in changes and other not in changes:
            training.pop(other, None)
    if context and "context" not in changes:
        model["context"] = min(context, model["context"])
    shape = ModelShape.model_validate(model | {"vocabulary": vocabulary})
    settings = TrainingSettings.model_validate(training)
    if "batch_tokens" not in changes:
        whole = max(settings.batch_tokens // shape.context, 1) * shape.context
        settings = settings.model_copy(update={"batch_tokens": whole})
    if settings.batch_tokens % shape.context:
        raise ValueError(f"batch_tokens: {settings.batch_tokens} is not a multiple of context={shape.context}")
    return shape, settings


def device_shares(batch_tokens: int, context: int, devices: int, device_batch: int | None) -> tuple[int, int]:
    """The sequences of a device's forward pass, and the passes of a step. Raises ValueError if these are not whole numbers.

    Args:
        batch_tokens: tokens of a step, over all devices.
        device_batch: sequences of a pass; None, or more than a device's share of a step: the whole share.
    """
    sequences = batch_tokens // context
    if sequences < 1 or sequences % devices:
        next_multiple = max(-(-sequences // devices), 1) * devices * context
        raise ValueError(
            f"batch_tokens: {batch_tokens} are {sequences} sequences of {context} tokens, which {devices} devices "
            f"cannot share evenly; give a multiple of {devices * context}, such as {next_multiple}"
        )
    share = sequences // devices
    sequences_per_pass = min(device_batch or share, share)
    if share % sequences_per_pass:
        raise ValueError(f"device_batch: {sequences_per_pass} does not divide a device's {share} sequences of a step")
    return sequences_per_pass, share // sequences_per_pass
