"""Train a GPT-2 on prepared data: `train("data", "run", preset="demo")`.

A run is a folder. A second call with the same settings resumes from its newest checkpoint, or returns immediately if it is
finished:

    manifest.json   settings, hashes, figures; manifest.lock is locked by the process that trains
    history.json    loss, learning rate, speed, evaluations and samples, oldest first
    checkpoints/    the newest few, each complete
    model/          at the end: an ordinary `GPT2LMHeadModel` with its tokenizer

On several GPUs or machines: `torchrun --nproc-per-node 8 -m sagechain pretrain train …`, or `accelerate launch`.
"""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..data.prepared import prepared_manifest, token_arrays
from ..errors import report_out_of_memory, unknown_name
from ..folder_lock import lock_folder
from ..launcher import end_with_torchrun, ranks
from ..manifest import file_sha256, stage_manifest
from .model import ModelShape
from .settings import CHANGEABLE, TrainingSettings, device_shares, resolve_settings

# The packages of the Trainer's trackers that are named differently.
TRACKER_PACKAGES = {"azure_ml": "azureml-mlflow", "comet_ml": "comet-ml"}


def train(
    data: str | Path,
    out: str | Path,
    *,
    preset: str = "demo",
    tokens: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    report_to: str | list[str] = "none",
    samples: bool = True,
    **settings: Any,
) -> Path:
    """Train a model, or resume the run in `out`.

    With a budget in `tokens`, a run on a CPU that was stopped, even killed, ends with exactly the weights of an
    uninterrupted one; on a GPU, whose sums are not reproducible, with the same order of data and state of the optimizer.
    With `seconds`, the learning rate follows the clock. `device_batch`, `activation_checkpointing`, `compile` and `keep`
    may change on a resume: the weights then differ by rounding.

    Args:
        data: the folder that `prepare` wrote.
        out: the run's folder.
        preset: `demo`, `tiny`, `codeparrot-small` or `codeparrot`.
        tokens: the budget in tokens; replaces the preset's.
        seconds: the budget in seconds of training; replaces the preset's.
        seed: of the weights and the order of the data.
        report_to: installed trackers of the Trainer, such as `tensorboard` or `trackio`.
        samples: let the model write samples during the run, for the report, and evaluate its completions at the end.
        settings: fields of `ModelShape` and `TrainingSettings` (`sagechain.pretraining.training.settings`).

    Returns:
        The run's folder.

    Raises:
        ValueError: data or preset that do not exist, a setting that is unknown, out of range, or different from the run's.
        Diverged: the loss is not a number.
        PretrainingError: a checkpoint is broken, the disk or the memory is full, or another process trains in `out`.
        KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
    """
    end_with_torchrun()
    data, out = Path(data), Path(out)
    prepared = prepared_manifest(data)
    shape, resolved = checked_settings(
        preset=preset,
        vocabulary=prepared["vocabulary"],
        context=prepared["context"],
        changes=settings | {"tokens": tokens, "seconds": seconds, "seed": seed},
        report_to=report_to,
    )
    inputs = {
        "preset": preset,
        "shape": shape.model_dump(),
        "settings": resolved.model_dump(),
        "data": prepared["tokens_sha256"],
    }
    # Of several processes the first one decides, once it has locked the folder: all must return, or none.
    if _is_done(out, inputs) and ranks() == 1:
        return out
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from .processes import Processes, training_arguments
    from .run import Run

    run = Run(data, out, prepared, token_arrays(data, prepared), shape, resolved, inputs)
    arguments = training_arguments(out, resolved, context=shape.context, report_to=report_to)
    processes = Processes(arguments)
    with lock_folder(out) if processes.is_first else nullcontext():
        processes.wait()  # no process reads the folder before it is locked
        if not processes.agreed(processes.is_first and _is_done(out, inputs)):
            with report_out_of_memory(arguments.per_device_train_batch_size):
                run.train(arguments, processes, samples=samples)
        processes.wait()  # no process returns before the run is finished
    return out


def checked_settings(
    *, preset: str, vocabulary: int, context: int, changes: dict[str, Any], report_to: str | list[str]
) -> tuple[ModelShape, TrainingSettings]:
    """The shape and the settings of a run, checked as `train` does, also before the data exist.

    Args:
        vocabulary, context: of the data.
        changes: settings that override the preset's; a budget may be None.
        preset, report_to: as for `train`.

    Raises:
        ValueError: an unknown preset or tracker, or a setting that is unknown or out of range.
    """
    _check_trackers(report_to)
    changes = {name: value for name, value in changes.items() if value is not None or name not in ("tokens", "seconds")}
    shape, resolved = resolve_settings(preset, vocabulary=vocabulary, context=context, changes=changes)
    device_shares(resolved.batch_tokens, shape.context, ranks(), resolved.device_batch)
    return shape, resolved


def _check_trackers(report_to: str | list[str]) -> None:
    """Raise ValueError for a tracker that is unknown or not installed."""
    names = [report_to] if isinstance(report_to, str) else report_to
    if not {*names} - {"none", "all"}:
        return
    from transformers.integrations import integration_utils

    known = integration_utils.INTEGRATION_TO_CALLBACK
    installed = integration_utils.get_available_reporting_integrations()  # type: ignore[no-untyped-call]
    for name in names:
        if name not in known:
            raise unknown_name("report_to", name, [*known, "all", "none"])
        if name not in installed:
            package = TRACKER_PACKAGES.get(name, name)
            raise ValueError(f"report_to: {name} is not installed. Run `pip install {package}`, or leave it out.")


def _is_done(out: Path, inputs: dict[str, Any]) -> bool:
    """Whether the run is finished. Raises ValueError if it was started with other settings."""
    manifest = stage_manifest(out, "train", "a run")
    if manifest is None:
        return False
    if _fixed(manifest["inputs"]) != _fixed(inputs):
        changed = [
            f"{name}={value!r} (the run has {manifest['inputs'].get(part, {}).get(name)!r})"
            for part in ("shape", "settings")
            for name, value in _fixed(inputs)[part].items()
            if manifest["inputs"].get(part, {}).get(name) != value
        ]
        difference = "other data" if manifest["inputs"]["data"] != inputs["data"] else f"preset={inputs['preset']!r}"
        differences = ", ".join(changed) or difference
        field = changed[0].split("=")[0] if changed else "data"
        raise ValueError(
            f"{field}: the run in {str(out)!r} was started with other settings: {differences}. Give the same again, or "
            "name another folder."
        )
    weights = out / "model" / "model.safetensors"
    return manifest["done"] and weights.is_file() and file_sha256(weights) == manifest["weights_sha256"]


def _fixed(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs that may not change on a resume."""
    return inputs | {"settings": {name: inputs["settings"][name] for name in {*inputs["settings"]} - {*CHANGEABLE}}}
