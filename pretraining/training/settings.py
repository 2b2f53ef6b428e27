"""The settings of a training run: a preset, and what is given over it.

    settings = training_settings("demo", vocabulary=8192, tokens=300_000, width=128)

Presets are YAML files in `presets/`; every field may be given anew.
"""

from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import unknown_name
from ..yaml_data import read_yaml
from .model import GPT2_DEVIATION, ModelShape

# A run may go on with others of these: what it learns is the same, but for rounding and what dropout leaves out.
CHANGEABLE = ("device_batch", "activation_checkpointing", "compile", "keep")


class TrainingSettings(BaseModel):
    """How a model is trained. Rates, shapes and budgets; tokens, not epochs, are counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int | None = Field(default=None, ge=1)
    """The budget in tokens. Rounded up to a whole step."""
    seconds: float | None = Field(default=None, gt=0)
    """The budget in seconds of training, evaluation and checkpoints not counted."""
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = Field(default=5e-3, gt=0)
    """The highest rate of AdamW."""
    matrix_learning_rate: float = Field(default=1e-2, gt=0)
    """The highest rate of Muon."""
    adam_beta2: float = Field(default=0.95, ge=0, lt=1)
    """How long AdamW remembers the squares of gradients."""
    embeddings: Literal["random", "neighbours"] = "random"
    """How they begin: at random, as GPT-2's did, or from which tokens stand side by side in the train split."""
    initial_deviation: float = Field(default=GPT2_DEVIATION, gt=0)
    """Standard deviation of the blocks' matrices, drawn at random; GPT-2's is 0.02."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How the rate falls to zero over the budget, after the warm-up."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """The share of the budget in which the rate rises."""
    weight_decay: float = Field(default=0.1, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """The largest norm of a step's gradient."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens of one step, over all devices."""
    device_batch: int | None = Field(default=None, ge=1)
    """Sequences that one device takes at once; the rest of its share of a step is accumulated. None: all of its share."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of products of matrices. `auto`: whichever is faster where the run begins; it keeps to that when it goes on."""
    activation_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, a third more time."""
    compile: bool | None = None
    """Compile the model by torch. None: on a GPU only; on two cores it is no win."""
    evaluations: int = Field(default=5, ge=0)
    """How often within the budget a part of the validation split is judged; at the end all of it is."""
    keep: int = Field(default=2, ge=1)
    """How many checkpoints are kept."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _one_budget(self) -> "TrainingSettings":
        if (self.tokens is None) == (self.seconds is None):
            raise ValueError("give either tokens or seconds as the budget")
        return self


class Preset(BaseModel):
    """A named set of a shape and settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    source: str
    model: dict[str, Any]
    training: dict[str, Any]


def list_presets() -> list[str]:
    """The names of the presets, smallest model first."""
    return ["demo", "tiny", "codeparrot-small", "codeparrot"]


@cache
def load_preset(name: str) -> Preset:
    """One preset. Raises ValueError where there is none of that name."""
    if name not in list_presets():
        raise unknown_name("preset", name, list_presets())
    return Preset.model_validate(read_yaml(f"{__package__}.presets", f"{name}.yaml"))


def chosen_settings(
    preset: str, *, vocabulary: int, context: int | None, changes: dict[str, Any]
) -> tuple[ModelShape, TrainingSettings]:
    """The shape and the settings of a run: the preset's, with what was given over them.

    Args:
        vocabulary: of the data's tokenizer.
        context: that the data was prepared for; the preset's own counts where it is smaller.
        changes: fields of `ModelShape` and `TrainingSettings`. `tokens` takes the place of the preset's `seconds`, and the
            other way round.

    Raises:
        ValueError: a field that is unknown or out of range.
    """
    known = load_preset(preset)
    model, training = dict(known.model), dict(known.training)
    for name, value in changes.items():
        if name in ModelShape.model_fields and name != "vocabulary":
            model[name] = value
        elif name in TrainingSettings.model_fields:
            training[name] = value
        else:
            raise unknown_name(
                "setting", name, {*ModelShape.model_fields, *TrainingSettings.model_fields} - {"vocabulary"}
            )
    for given, other in (("tokens", "seconds"), ("seconds", "tokens")):
        if given in changes and other not in changes:
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
    """Sequences that a device takes at once, and how often in a step. Raises ValueError where that is no whole number.

    Args:
        batch_tokens: of a step, over all devices.
        device_batch: sequences at once; all of a device's share of a step where it is None or more than that.
    """
    sequences = batch_tokens // context
    if sequences < 1 or sequences % devices:
        above = max(-(-sequences // devices), 1) * devices * context
        raise ValueError(
            f"batch_tokens: {batch_tokens} are {sequences} sequences of {context} tokens, which {devices} devices "
            f"cannot share evenly; give a multiple of {devices * context}, such as {above}"
        )
    share = sequences // devices
    at_once = min(device_batch or share, share)
    if share % at_once:
        raise ValueError(f"device_batch: {at_once} does not divide a device's {share} sequences of a step")
    return at_once, share // at_once
