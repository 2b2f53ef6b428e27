"""Train a GPT-2 on prepared data: `train("data", "run", preset="demo")`.

A run is a folder. A second call with the same settings goes on at its newest checkpoint, or does nothing where it is done:

    manifest.json   settings, hashes, figures; manifest.lock is held by who works here
    history.json    loss, rate, speed, judgements and samples, oldest first
    checkpoints/    the newest few, each whole
    model/          at the end: an ordinary `GPT2LMHeadModel` with its tokenizer

On several GPUs or machines: `torchrun --nproc-per-node 8 -m sagechain pretrain train …`, or `accelerate launch`.
"""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..data.prepared import prepared_manifest, token_arrays
from ..errors import report_out_of_memory
from ..folder_lock import lock_folder
from ..launcher import end_with_torchrun, ranks
from ..manifest import file_sha256, stage_manifest
from .model import ModelShape
from .settings import CHANGEABLE, TrainingSettings, chosen_settings, device_shares
from .trackers import check_trackers


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
    """Train a model, or go on where the run in `out` stopped.

    With `tokens` a run that was stopped, even killed, ends with the very weights of one that was not. With `seconds` the
    order of the data and the optimizer's state are exact, and the rate follows the clock. `device_batch`,
    `activation_checkpointing`, `compile` and `keep` may be others when a run goes on: its weights then differ by rounding.

    Args:
        data: folder that `prepare` made.
        out: the run's folder.
        preset: `demo`, `tiny`, `codeparrot-small` or `codeparrot`.
        tokens: the budget in tokens, in place of the preset's.
        seconds: the budget in seconds of training, in place of the preset's.
        seed: of the weights and the order of the data.
        report_to: trackers of the Trainer, such as `tensorboard` or `trackio`, each as installed.
        samples: let the model write now and then, for the report, and judge at the end what it writes.
        settings: fields of `ModelShape` and `TrainingSettings` (`sagechain.pretraining.training.settings`).

    Returns:
        The run's folder.

    Raises:
        ValueError: no such data or preset, a setting that is unknown or out of range, or another than the run began with.
        Diverged: the loss is not a number any more.
        PretrainingError: a checkpoint is broken, the disk or the memory is full, or another process trains in `out`.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first.
    """
    end_with_torchrun()
    data, out = Path(data), Path(out)
    prepared = prepared_manifest(data)
    shape, chosen = checked_settings(
        preset=preset,
        vocabulary=prepared["vocabulary"],
        context=prepared["context"],
        changes=settings | {"tokens": tokens, "seconds": seconds, "seed": seed},
        report_to=report_to,
    )
    inputs = {
        "preset": preset,
        "shape": shape.model_dump(),
        "settings": chosen.model_dump(),
        "data": prepared["tokens_sha256"],
    }
    # Of several processes the first one looks, once it holds the folder: all must return, or none.
    if _is_done(out, inputs) and ranks() == 1:
        return out
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from .arguments import training_arguments
    from .processes import Processes
    from .stages import Run

    run = Run(data, out, prepared, token_arrays(data, prepared), shape, chosen, inputs)
    arguments = training_arguments(out, chosen, context=shape.context, report_to=report_to)
    processes = Processes(arguments)
    with lock_folder(out) if processes.is_first else nullcontext():
        processes.wait()  # no process looks into the folder before it is ours
        if not processes.agreed(processes.is_first and _is_done(out, inputs)):
            with report_out_of_memory(arguments.per_device_train_batch_size):
                run.train(arguments, processes, samples=samples)
        processes.wait()  # a process that goes on finds the run done
    return out


def checked_settings(
    *, preset: str, vocabulary: int, context: int, changes: dict[str, Any], report_to: str | list[str]
) -> tuple[ModelShape, TrainingSettings]:
    """The shape and the settings of a run; asked before the data are there, it tells at once what `train` would refuse.

    Args:
        vocabulary, context: of the data.
        changes: all that is given over the preset's; a budget may be None.
        preset, report_to: as `train`'s.

    Raises:
        ValueError: no such preset or tracker, or a setting that is unknown or out of range.
    """
    check_trackers(report_to)
    given = {name: value for name, value in changes.items() if value is not None or name not in ("tokens", "seconds")}
    shape, chosen = chosen_settings(preset, vocabulary=vocabulary, context=context, changes=given)
    device_shares(chosen.batch_tokens, shape.context, ranks(), chosen.device_batch)
    return shape, chosen


def _is_done(out: Path, inputs: dict[str, Any]) -> bool:
    """Whether the run is over already. Raises ValueError where it was begun with other settings."""
    found = stage_manifest(out, "train", "run")
    if found is None:
        return False
    if _lasting(found["inputs"]) != _lasting(inputs):
        changed = [
            f"{name}={value!r} (the run has {found['inputs'].get(part, {}).get(name)!r})"
            for part in ("shape", "settings")
            for name, value in _lasting(inputs)[part].items()
            if found["inputs"].get(part, {}).get(name) != value
        ]
        other = "other data" if found["inputs"]["data"] != inputs["data"] else f"preset={inputs['preset']!r}"
        what = ", ".join(changed) or other
        raise ValueError(f"{changed[0].split('=')[0] if changed else 'data'}: the run in {str(out)!r} was begun otherwise:"
                         f" {what}. Give the same again, or name another folder.")  # fmt: skip
    return found["done"] and _holds_its_model(out, found["weights_sha256"])


def _lasting(inputs: dict[str, Any]) -> dict[str, Any]:
    """What may not change when a run goes on."""
    return inputs | {"settings": {name: inputs["settings"][name] for name in {*inputs["settings"]} - {*CHANGEABLE}}}


def _holds_its_model(out: Path, digest: str) -> bool:
    weights = out / "model" / "model.safetensors"
    return weights.is_file() and file_sha256(weights) == digest
