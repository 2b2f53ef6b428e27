"""`sagechain pretrain`: a code model from scratch, stage by stage or all in one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from sagechain.command import FAILURE, parameters_by_name, parse_parameter, print_note
from sagechain.llms import install_command
from sagechain.pretraining import is_first

from .pretrain_options import (
    ContextOption,
    KeywordsOption,
    LicensesOption,
    PresetOption,
    SecondsOption,
    SeedOption,
    SettingOption,
    SourceArgument,
    TasksOption,
    TokensOption,
    TrackerOption,
    VocabularyOption,
    WorkersOption,
)

app = typer.Typer(
    help="Pretrain a code model from scratch: corpus, tokenizer, training, report, export.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("prepare")
def prepare(
    command: typer.Context,
    source: SourceArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the data.")],
    keywords: KeywordsOption = None,
    licenses: LicensesOption = None,
    vocab_size: VocabularyOption = 8192,
    context: ContextOption = 256,
    workers: WorkersOption = None,
    tasks: TasksOption = 8,
    executor: Annotated[str, typer.Option("--executor", help="Where the tasks run: local, slurm or ray.")] = "local",
    options: Annotated[
        list[Any] | None,
        typer.Option(
            "-o",
            metavar="NAME=VALUE",
            help="An option of the executor, such as partition=cpu.",
            parser=parse_parameter,
        ),
    ] = None,
    settings: SettingOption = None,
) -> None:
    """Create training data: filter, remove duplicates, train a tokenizer, write tokens.

    Example: sagechain pretrain prepare ~/code --out data --keywords pandas,sklearn,matplotlib,seaborn
    """
    with _error_lines():
        from sagechain.pretraining import prepare as prepare_data
        from sagechain.pretraining.data import Executor

        chosen = {"kind": executor, "tasks": tasks, "options": parameters_by_name(options)}
        chosen |= {"workers": workers} if workers else {}
        folder = prepare_data(
            source,
            out,
            keywords=_names(keywords),
            licenses=_names(licenses),
            vocab_size=vocab_size,
            context=context,
            executor=Executor.model_validate(chosen),
            **_settings(command, settings),
        )
        _show_corpus(folder)


@app.command("train")
def train(
    command: typer.Context,
    data: Annotated[Path, typer.Argument(help="Folder that `prepare` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The run's folder; a run with a checkpoint is resumed.")],
    preset: PresetOption = "demo",
    tokens: TokensOption = None,
    seconds: SecondsOption = None,
    seed: SeedOption = 0,
    report_to: TrackerOption = "none",
    settings: SettingOption = None,
) -> None:
    """Train a model, or resume a run that was stopped.

    Example: sagechain pretrain train data --out run --preset tiny
    """
    with _error_lines():
        from sagechain.pretraining import train as train_model

        run = train_model(
            data,
            out,
            preset=preset,
            tokens=tokens,
            seconds=seconds,
            seed=seed,
            report_to=list(_names(report_to)),
            **_settings(command, settings),
        )
        if is_first():
            _show_run(run)
            print_note(f"Next: sagechain pretrain export {run} --out MODEL")
            print(run / "model")


@app.command("report")
def report(run: Annotated[Path, typer.Argument(help="The run's folder.")]) -> None:
    """Write the run's page, report.html, with its curves, samples, settings and data; also while it trains.

    Example: sagechain pretrain report run
    """
    with _error_lines():
        from sagechain.pretraining.publishing import write_report

        print(write_report(run))


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    license: Annotated[
        str | None, typer.Option("--license", help="For the model card, as the Hugging Face hub names it: apache-2.0 …")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another model that export wrote.")] = False,
) -> None:
    """Write a finished run's model as an ordinary checkpoint with a model card; `-m local:OUT` runs it.

    Example: sagechain pretrain export run --out codeparrot
    """
    with _error_lines():
        from sagechain.pretraining import export as export_model

        print(export_model(run, out, license=license, overwrite=overwrite))


@app.command("run")
def run_all(
    command: typer.Context,
    source: SourceArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for data, run and model.")],
    keywords: KeywordsOption = None,
    licenses: LicensesOption = None,
    vocab_size: Annotated[int | None, typer.Option("--vocab-size", help="The preset's if not given.")] = None,
    context: Annotated[int | None, typer.Option("--context", help="The preset's if not given.")] = None,
    workers: WorkersOption = None,
    preset: PresetOption = "demo",
    tokens: TokensOption = None,
    seconds: SecondsOption = None,
    seed: SeedOption = 0,
    report_to: TrackerOption = "none",
    settings: SettingOption = None,
) -> None:
    """Prepare, train, report and export; finished stages are skipped.

    Example: sagechain pretrain run stdlib --out codeparrot && sagechain complete -m local:codeparrot/model "def add("
    """
    with _error_lines():
        from sagechain.pretraining import run as run_stages

        run_stages(
            source,
            out,
            preset=preset,
            seconds=seconds,
            tokens=tokens,
            seed=seed,
            keywords=_names(keywords),
            licenses=_names(licenses),
            vocab_size=vocab_size,
            data_context=context,
            workers=workers,
            report_to=_names(report_to),
            on_stage=_show_stage,
            # The model's context may be smaller than the data's.
            **_settings(command, settings, besides=("context",)),
        )


@app.command("plan")
def plan(
    command: typer.Context,
    preset: PresetOption = "codeparrot",
    hardware: Annotated[
        str, typer.Option("--hardware", help="8xH100, 4xA100-80GB, ml.p4d.24xlarge …, or cpu: this machine.")
    ] = "cpu",
    tokens: TokensOption = None,
    settings: SettingOption = None,
) -> None:
    """Estimate a training run without starting it: FLOP, memory, hours, dollars, with the formulas' sources.

    Example: sagechain pretrain plan --preset codeparrot --hardware ml.p4d.24xlarge -p mfu=0.35
    """
    with _error_lines():
        from sagechain.pretraining.planning import format_plan, plan_preset

        print(format_plan(plan_preset(preset, hardware=hardware, tokens=tokens, changes=_settings(command, settings))))


def _settings(command: typer.Context, pairs: list[Any] | None, besides: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of `-p`, by name. Raises ValueError for a name that has an option or argument, except for `besides`."""
    settings = parameters_by_name(pairs)
    for parameter in command.command.params:
        name, option = str(parameter.name), parameter.opts[0]
        if name in settings and name not in besides:
            raise ValueError(f"-p {name}: give {option if option.startswith('-') else name.upper()}")
    return settings


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _show_corpus(folder: Path) -> None:
    """Print the corpus table and the tokenizer's summary on standard error, in one of all processes."""
    if not is_first():
        return
    from sagechain.pretraining import console, corpus_table, read_manifest, tokenizer_summary

    manifest = read_manifest(folder) or {}
    console().print(corpus_table(manifest["corpus"]))
    print_note(tokenizer_summary(manifest))


def _show_stage(stage: str, output: Path) -> None:
    if stage == "prepare":
        _show_corpus(output)
    elif stage == "train":
        _show_run(output)
    elif stage == "report":
        print_note(f"Report: {output}")
    else:
        print(output)


def _show_run(run: Path) -> None:
    """Print the curve and the results on standard error."""
    from sagechain.pretraining import read_manifest
    from sagechain.pretraining.publishing import read_history, terminal_curve

    print_note(terminal_curve(read_history(run)))
    manifest = read_manifest(run) or {}
    print_note(
        f"{manifest['tokens']:,} tokens in {manifest['seconds']:.0f} s, {manifest['val_bits_per_byte']:.3f} bits per byte "
        "of unseen code."
    )


@contextmanager
def _error_lines() -> Iterator[None]:
    """A PretrainingError, or a missing extra, becomes one line on standard error and exit code 1."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sagechain"):
            raise
        print_note(f"sagechain: {error.name} is not installed. Run: {install_command('pretraining')}")
        raise typer.Exit(FAILURE) from error
    except Exception as error:
        from sagechain.pretraining.errors import PretrainingError

        if not isinstance(error, PretrainingError):
            raise
        print_note(f"sagechain: {error}")
        raise typer.Exit(FAILURE) from error
