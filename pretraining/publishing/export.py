"""Export a finished run as a model: `export("run", "codeparrot")`.

The folder is an ordinary Hugging Face checkpoint with a model card; `load_llm("local:codeparrot")` and transformers load
it. It appears complete or not at all: it is written to a temporary folder, checked, and then renamed.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import PretrainingError
from ..manifest import file_sha256, read_manifest, write_manifest
from .model_card import model_card, published_source
from .report import run_manifest

WEIGHTS = "model.safetensors"
CARD = "README.md"
# The fields of the run's manifest that the model's manifest repeats.
FIGURES = (
    "preset", "settings", "data", "parameters", "tokens", "steps", "seconds", "val_bits_per_byte", "val_accuracy",
    "tokens_per_second", "mfu", "resumed_at_tokens", "versions",
)  # fmt: skip


def export(run: str | Path, out: str | Path, *, license: str | None = None, overwrite: bool = False) -> Path:
    """Copy a finished run's model to `out`, with a model card. Does nothing if `out` already contains these weights.

    Args:
        run: the folder that `train` wrote.
        out: the folder for the model.
        license: for the card, an identifier of the Hugging Face hub such as `apache-2.0`; default: none.
        overwrite: replace another model that `export` wrote. Nothing else is ever replaced.

    Returns:
        The model's folder.

    Raises:
        ValueError: not a run, a run that is not finished, or an `out` that contains something else.
        PretrainingError: the run's model cannot be loaded or is not the trained one, or the disk is full.
    """
    run, out = Path(run), Path(out)
    manifest = _finished_manifest(run)
    if _is_exported(out, manifest["weights_sha256"], overwrite):
        return out
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as temporary:
            copy = Path(temporary) / "model"
            shutil.copytree(run / "model", copy)
            _complete(copy, manifest, out.absolute().name, license)
            if out.exists():
                out.rename(Path(temporary) / "replaced")
            copy.rename(out)
    except OSError as error:
        raise PretrainingError(
            f"the model cannot be written to {out}: {error}. Make room, and export again."
        ) from error
    return out


def _finished_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a finished run."""
    manifest = run_manifest(run)
    if not manifest.get("done"):
        raise ValueError(
            f"run: {str(run)!r} is not finished; give the command that started it again, and it resumes from its last "
            f"checkpoint: `sagechain pretrain train DATA --out {run} …`"
        )
    if not (run / "model" / WEIGHTS).is_file():
        raise ValueError(f"run: {str(run)!r} is finished, but model/{WEIGHTS} is missing; restore it, or train again")
    return manifest


def _is_exported(out: Path, digest: str, overwrite: bool) -> bool:
    """Whether `out` contains the model. Raises ValueError if it contains something that may not be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    manifest = read_manifest(out) if out.is_dir() else None
    if manifest is None or manifest.get("stage") != "export":
        raise ValueError(f"out: {str(out)!r} exists and is not a model that export wrote; name another folder")
    weights = out / WEIGHTS
    if manifest.get("weights_sha256") == digest and weights.is_file() and file_sha256(weights) == digest:
        return True
    if not overwrite:
        raise ValueError(
            f"out: {str(out)!r} contains another model; name another folder, or replace it (overwrite=True, --overwrite)"
        )
    return False


def _complete(folder: Path, manifest: Mapping[str, Any], name: str, license: str | None) -> None:
    """Check the copied model and add its card and its manifest."""
    digest = file_sha256(folder / WEIGHTS)
    if digest != manifest["weights_sha256"]:
        raise PretrainingError(
            f"the run's model/{WEIGHTS} is not the file that training wrote: its SHA-256 is {digest}, the manifest's "
            f"{manifest['weights_sha256']}. Restore the file, or train again."
        )
    context = check_loadable(folder)
    card = model_card(manifest, name=name, context=context, license=license)
    (folder / CARD).write_text(card, encoding="utf-8")
    figures = {field: manifest[field] for field in FIGURES if field in manifest}
    if "source" in (data := figures.get("data") or {}):
        figures["data"] = data | {"source": published_source(data["source"])}
    write_manifest(folder, {"stage": "export", "done": True, "weights_sha256": digest, "run": figures})


def check_loadable(folder: Path) -> int:
    """Check that a folder contains a `GPT2LMHeadModel` with all weights in their shapes, and a tokenizer that fits it.

    The model is built without memory for its weights, and their shapes are read from the file's header, so the check is
    fast at any size.

    Returns:
        The model's context in tokens.

    Raises:
        PretrainingError: it contains something else, which the message names.
    """
    from transformers import AutoTokenizer, GPT2Config

    try:
        config, tokenizer = GPT2Config.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, TypeError) as error:
        raise PretrainingError(
            f"the run's model cannot be loaded: {error}. Train again, or restore the file."
        ) from error
    if config.architectures != ["GPT2LMHeadModel"]:
        raise PretrainingError(f"the run's model is a {config.architectures}, not a GPT2LMHeadModel. Train again.")
    highest = max(tokenizer.get_vocab().values())
    if highest >= config.vocab_size:
        raise PretrainingError(
            f"the run's tokenizer and model do not match: the tokenizer has a token {highest}, the model has "
            f"{config.vocab_size} (0 to {config.vocab_size - 1}). Put back the tokenizer of the data, or train again."
        )
    _check_weights(folder / WEIGHTS, config)
    return int(config.n_positions)


def _check_weights(path: Path, config: Any) -> None:
    """Check that the file contains exactly the model's weights, in their shapes."""
    import torch
    from safetensors import SafetensorError, safe_open
    from transformers import GPT2LMHeadModel

    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    expected = {name: list(weight.shape) for name, weight in model.named_parameters()}
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise PretrainingError(
            f"the run's model/{WEIGHTS} is broken: {error}. Restore the file, or train again."
        ) from error
    mismatched = sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name))
    if mismatched:
        raise PretrainingError(
            f"the run's model/{WEIGHTS} does not match its config.json: {', '.join(mismatched[:5])} missing or of another "
            "shape. Restore the files, or train again."
        )
