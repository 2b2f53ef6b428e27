"""All stages of pretraining in one call: `run("stdlib", "codeparrot")` → documents, tokens, weights, report, model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .data.corpus_settings import CorpusSettings
from .data.prepare import prepare
from .launcher import is_first
from .publishing.export import export
from .publishing.report import write_report
from .training.settings import load_preset
from .training.train import checked_settings, train


def run(
    source: str | Path,
    out: str | Path,
    *,
    preset: str = "demo",
    seconds: float | None = None,
    tokens: int | None = None,
    seed: int = 0,
    keywords: Sequence[str] = (),
    licenses: Sequence[str] = (),
    vocab_size: int | None = None,
    data_context: int | None = None,
    workers: int | None = None,
    report_to: str | Sequence[str] = "none",
    samples: bool = True,
    on_stage: Callable[[str, Path], None] | None = None,
    **settings: Any,
) -> Path:
    """Prepare, train, report and export. Finished stages are not repeated, and an interrupted one is resumed.

    Args:
        source: as for `prepare`.
        out: the folder for `data`, `run` and `model`.
        preset: `demo`, `tiny`, `codeparrot-small` or `codeparrot`.
        seconds, tokens: the training's budget; replaces the preset's.
        seed: of the weights and the order of the data.
        keywords, licenses, workers: as for `prepare`.
        vocab_size, data_context: of the data; default: the preset's.
        report_to, samples: as for `train`.
        on_stage: called in the first process with the name of each finished stage (`prepare`, `train`, `report`,
            `export`) and its output.
        settings: fields of `CorpusSettings`, `ModelShape` and `TrainingSettings`.

    Returns:
        The exported model's folder, `out`/model.

    Raises:
        ValueError: a setting of any stage that is unknown or out of range, before the first stage starts.
        PretrainingError: a stage failed; the stages before it are finished.
    """
    out, shape = Path(out), load_preset(preset)["model"]
    vocab_size = shape["vocabulary"] if vocab_size is None else vocab_size
    data_context = shape["context"] if data_context is None else data_context
    corpus_settings = {name: settings.pop(name) for name in list(settings) if name in CorpusSettings.model_fields}
    changes = settings | {"tokens": tokens, "seconds": seconds, "seed": seed}
    trackers = [report_to] if isinstance(report_to, str) else list(report_to)
    checked_settings(preset=preset, vocabulary=vocab_size, context=data_context, changes=changes, report_to=trackers)
    data = prepare(
        source,
        out / "data",
        keywords=keywords,
        licenses=licenses,
        vocab_size=vocab_size,
        context=data_context,
        workers=workers,
        **corpus_settings,
    )
    show = on_stage if on_stage and is_first() else lambda stage, output: None
    show("prepare", data)
    finished = train(data, out / "run", preset=preset, report_to=trackers, samples=samples, **changes)
    if is_first():
        show("train", finished)
        show("report", write_report(finished))
        show("export", export(finished, out / "model"))
    return out / "model"
